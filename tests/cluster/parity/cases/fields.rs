//! Unknown fields and defaults.

use super::Case;

pub const CASES: &[Case] = &[
    (
        "unknown fields are dropped with a warning, without one, or refused",
        "POST links link a + {spec: {nope: 1}}
         POST links?fieldValidation=Warn link b + {spec: {nope: 1, post: {nope: {x: y}}}}
         POST links?fieldValidation=Ignore link c + {spec: {nope: 1}}
         POST links?fieldValidation=Strict link d + {spec: {nope: 1}}
         POST links?fieldValidation=Strict link d + {spec: {nope: 1, post: {nope: 2}}}
         POST links?fieldValidation=Strict link d + {nope: 1}
         POST links?fieldValidation=Strict link d + {metadata: {nope: 1}}
         POST links?fieldValidation=Strict link d + {metadata: {nope: 1}, spec: {nope: 2}}
         POST links link e + {metadata: {nope: 1}, nope: 2}
         POST links?fieldValidation=Strict link f",
    ),
    (
        "unknown fields of a replace",
        "POST links link a
         PUT links/a $1 + {spec: {nope: 1}}
         PUT links/a?fieldValidation=Ignore $2 + {spec: {nope: 1}}
         PUT links/a?fieldValidation=Strict $3 + {spec: {nope: 1}}
         PUT links/a?fieldValidation=Strict $3 + {metadata: {labels: {x: y}}}",
    ),
    (
        "unknown fields of a patch",
        "POST links link a
         MERGE links/a {spec: {nope: 1}}
         MERGE links/a?fieldValidation=Ignore {spec: {nope: 1}}
         MERGE links/a?fieldValidation=Strict {spec: {nope: 1}}
         JSON links/a [{op: add, path: /spec/nope, value: 1}]
         JSON links/a?fieldValidation=Strict [{op: add, path: /spec/nope, value: 1}]
         MERGE links/a {metadata: {nope: 1}}
         MERGE links/a?fieldValidation=Strict {metadata: {nope: 1}}
         MERGE links/a?fieldValidation=Strict {spec: {unlink: true}}",
    ),
    (
        "unknown fields inside lists",
        "POST connections connection a
         MERGE connections/a/status {status: {activeRules: [{name: r, uid: u, generation: 1, nope: 1}]}}
         MERGE connections/a/status?fieldValidation=Strict {status: {activeRules: [{name: r, uid: u, generation: 1, nope: 1}]}}
         POST rules?fieldValidation=Strict rule r + {spec: {match: {reach: {nope: 1}, keywords: [x]}}}",
    ),
    (
        "unknown fields of built-in kinds",
        "POST secrets secret a + {nope: 1}
         POST secrets?fieldValidation=Strict secret b + {nope: 1}
         POST secrets?fieldValidation=Ignore secret b + {nope: 1}
         POST secrets?fieldValidation=Strict secret c + {metadata: {nope: 1}}
         MERGE secrets/a {nope: 1}
         MERGE secrets/a?fieldValidation=Strict {nope: 1}
         POST leases?fieldValidation=Strict lease a + {spec: {nope: 1}}",
    ),
    (
        "defaults are filled in, also below lists and objects",
        "POST connections connection a
         POST connections connection b + {spec: {default: true, enabled: false, recordTypes: [lead]}}
         POST rules rule r
         POST links link a
         MERGE links/a/status {status: {intent: {hash: x}}}
         MERGE connections/a/status {status: {metadata: {}}}
         MERGE rules/r {spec: {active: null}}",
    ),
    (
        "a null is as nothing, or as the default",
        "POST connections raw {\"apiVersion\": \"postlink.dev/v1alpha1\", \"kind\": \"DynamicsConnection\", \"metadata\": {\"name\": \"a\"},
            \"spec\": {\"instanceUrl\": \"https://a.crm.example\", \"credentials\": {\"secretRef\": {\"name\": \"a\"}, \"workloadIdentity\": null},
            \"displayName\": null, \"enabled\": null, \"recordTypes\": null, \"probe\": {\"interval\": null}}}
         POST connections raw {\"apiVersion\": \"postlink.dev/v1alpha1\", \"kind\": \"DynamicsConnection\", \"metadata\": {\"name\": \"b\"},
            \"spec\": {\"instanceUrl\": null, \"credentials\": {\"secretRef\": {\"name\": \"a\"}}}}
         POST connections raw {\"apiVersion\": \"postlink.dev/v1alpha1\", \"kind\": \"DynamicsConnection\", \"metadata\": {\"name\": \"c\"}, \"spec\": null}
         POST links raw {\"apiVersion\": \"postlink.dev/v1alpha1\", \"kind\": \"PostLink\", \"metadata\": {\"name\": \"a\"},
            \"spec\": {\"post\": {\"id\": \"a\", \"url\": \"https://social.example/a\", \"searchTopics\": [null]}}}",
    ),
];
