//! Server-side apply.

use super::Case;

pub const CASES: &[Case] = &[
    (
        "an apply creates, changes, and the second time does nothing",
        "APPLY connections/a?fieldManager=m connection a
         APPLY connections/a?fieldManager=m connection a
         APPLY connections/a?fieldManager=m connection a
         APPLY connections/a?fieldManager=m connection a + {spec: {displayName: A, recordTypes: [lead]}}
         APPLY connections/a?fieldManager=m connection a + {spec: {displayName: A, recordTypes: [lead]}}
         GET connections/a",
    ),
    (
        "a field no longer applied goes",
        "APPLY connections/a?fieldManager=m connection a + {metadata: {labels: {team: x}, annotations: {note: y}},
            spec: {displayName: A, enabled: false, probe: {interval: 1m}}}
         APPLY connections/a?fieldManager=m connection a + {metadata: {labels: {tier: y}}}
         APPLY connections/a?fieldManager=m connection a",
    ),
    (
        "an object whose fields are no longer applied but which is",
        "APPLY connections/a?fieldManager=m connection a + {spec: {probe: {interval: 1m}}}
         APPLY connections/a?fieldManager=m connection a + {spec: {probe: {}}}",
    ),
    (
        "a field another manager owns is a conflict",
        "APPLY connections/a?fieldManager=one connection a + {spec: {displayName: A, default: true}}
         APPLY connections/a?fieldManager=two connection a + {spec: {displayName: B}}
         APPLY connections/a?fieldManager=two connection a + {spec: {displayName: B, default: false}}
         APPLY connections/a?fieldManager=two connection a + {spec: {displayName: A}}
         APPLY connections/a?fieldManager=two&force=true connection a + {spec: {displayName: B}}
         APPLY connections/a?fieldManager=one connection a + {spec: {displayName: A, default: true}}
         APPLY connections/a?fieldManager=one connection a + {spec: {default: true}}
         APPLY connections/a?fieldManager=two connection a
         GET connections/a",
    ),
    (
        "a conflict with an update names it as such",
        "POST connections?fieldManager=maker connection a + {spec: {displayName: A}}
         APPLY connections/a?fieldManager=m connection a + {spec: {displayName: B}}
         MERGE connections/a?fieldManager=other {spec: {displayName: C, enabled: false}}
         APPLY connections/a?fieldManager=m connection a + {spec: {displayName: B, enabled: true}}
         APPLY connections/a?fieldManager=m&force=true connection a + {spec: {displayName: B, enabled: true}}
         MERGE connections/a?fieldManager=other {spec: {displayName: D}}
         APPLY connections/a?fieldManager=m connection a + {spec: {displayName: B, enabled: true}}",
    ),
    (
        "a conflict about entries of a list names their keys",
        "POST connections connection a
         APPLY connections/a/status?fieldManager=one {apiVersion: postlink.dev/v1alpha1, kind: DynamicsConnection,
            metadata: {name: a}, status: {conditions: [{type: Ready, status: 'True', reason: Ok, message: fine, lastTransitionTime: '2026-01-01T00:00:00Z'}]}}
         APPLY connections/a/status?fieldManager=two {apiVersion: postlink.dev/v1alpha1, kind: DynamicsConnection,
            metadata: {name: a}, status: {conditions: [{type: Ready, status: 'False', reason: Bad, message: no, lastTransitionTime: '2026-01-01T00:00:00Z'}]}}
         APPLY connections/a/status?fieldManager=two {apiVersion: postlink.dev/v1alpha1, kind: DynamicsConnection,
            metadata: {name: a}, status: {conditions: [{type: Default, status: 'False', reason: Bad, message: no, lastTransitionTime: '2026-01-01T00:00:00Z'}]}}
         APPLY connections/a/status?fieldManager=one {apiVersion: postlink.dev/v1alpha1, kind: DynamicsConnection,
            metadata: {name: a}, status: {state: Enabled}}",
    ),
    (
        "labels and finalizers are shared item by item",
        "APPLY links/a?fieldManager=one link a + {metadata: {labels: {x: '1'}, finalizers: [postlink.dev/one]}}
         APPLY links/a?fieldManager=two link a + {metadata: {labels: {y: '2'}, finalizers: [postlink.dev/two]}}
         APPLY links/a?fieldManager=one link a
         APPLY links/a?fieldManager=two link a
         APPLY links/a?fieldManager=two link a + {spec: {post: {searchTopics: [x, y]}}}
         APPLY links/a?fieldManager=one link a + {spec: {post: {searchTopics: [z]}}}",
    ),
    (
        "an apply is checked",
        "APPLY connections/a?fieldManager=m rule a
         APPLY connections/a?fieldManager=m connection a + {metadata: {managedFields: []}}
         APPLY connections/a?fieldManager=m connection a + {metadata: {managedFields: [{manager: x}]}}
         APPLY connections/a?fieldManager=m connection a + {apiVersion: postlink.dev/v1}
         APPLY connections/a?fieldManager=m connection a + {kind: null}
         APPLY connections/a?fieldManager=m connection a + {metadata: {name: null}}
         APPLY connections/a?fieldManager=m connection a + {metadata: {namespace: elsewhere}}
         APPLY connections/a?fieldManager=m connection a + {metadata: {uid: other}}
         APPLY connections/a?fieldManager=m connection a + {metadata: {resourceVersion: '5'}}
         APPLY connections/a?fieldManager=m []
         APPLY connections/a?fieldManager=m raw 5
         APPLY connections/a?fieldManager=m
         APPLY @nowhere/connections/a?fieldManager=m connection a
         APPLY connections/a?fieldManager= connection a",
    ),
    (
        "an apply refuses fields the schema does not know",
        "APPLY connections/a?fieldManager=m connection a + {spec: {nope: 1}}
         APPLY connections/a?fieldManager=m connection a + {nope: 1}
         APPLY connections/a?fieldManager=m connection a + {metadata: {nope: 1}}
         APPLY connections/a?fieldManager=m&fieldValidation=Strict connection a + {spec: {nope: 1}}
         APPLY connections/a?fieldManager=m&fieldValidation=Ignore connection a + {spec: {nope: 1}}
         APPLY connections/a?fieldManager=m connection a + {spec: {displayName: {a: b}}}
         APPLY connections/a?fieldManager=m connection a + {spec: {recordTypes: x}}
         APPLY connections/a?fieldManager=m connection a + {spec: {linksPerSecond: many}}
         APPLY connections/a?fieldManager=m connection a + {spec: {linksPerSecond: 5000}}
         APPLY connections/a?fieldManager=m connection a + {spec: {instanceUrl: null}}
         APPLY connections/a?fieldManager=m connection a + {spec: {displayName: ''}}",
    ),
    (
        "an apply with a version is refused when it is stale",
        "POST connections connection a
         MERGE connections/a {spec: {displayName: A}}
         APPLY connections/a?fieldManager=m connection a + {metadata: {resourceVersion: '${1/metadata/resourceVersion}'}}
         APPLY connections/a?fieldManager=m connection a + {metadata: {resourceVersion: '${2/metadata/resourceVersion}'}}
         APPLY connections/a?fieldManager=m connection a + {metadata: {uid: other}}
         APPLY connections/a?fieldManager=m connection a + {metadata: {uid: '${1/metadata/uid}'}}",
    ),
    (
        "an apply of the main object leaves the status alone",
        "APPLY connections/a?fieldManager=m connection a + {status: {state: Downtime}}
         MERGE connections/a/status {status: {state: Enabled}}
         APPLY connections/a?fieldManager=m connection a + {status: {state: Downtime}}
         APPLY connections/a/status?fieldManager=m connection a + {spec: {displayName: A}, status: {displayName: B}}
         APPLY connections/b/status?fieldManager=m connection b + {status: {displayName: B}}",
    ),
    (
        "nulls, empty maps and empty lists are applied",
        "APPLY links/a?fieldManager=m raw {\"apiVersion\": \"postlink.dev/v1alpha1\", \"kind\": \"PostLink\", \"metadata\": {\"name\": \"a\"},
            \"spec\": {\"post\": {\"id\": \"a\", \"url\": \"https://social.example/a\", \"author\": {}, \"searchTopics\": []}}}
         APPLY links/a?fieldManager=m raw {\"apiVersion\": \"postlink.dev/v1alpha1\", \"kind\": \"PostLink\", \"metadata\": {\"name\": \"a\"},
            \"spec\": {\"post\": {\"id\": \"a\", \"url\": \"https://social.example/a\", \"title\": null}}}",
    ),
    (
        "bookkeeping that was reset begins with the first apply",
        "POST connections?fieldManager=maker connection a
         MERGE connections/a {metadata: {managedFields: [{}]}}
         MERGE connections/a?fieldManager=other {spec: {displayName: A}}
         APPLY connections/a?fieldManager=m connection a + {spec: {displayName: B}}
         APPLY connections/a?fieldManager=m&force=true connection a + {spec: {displayName: B}}",
    ),
    (
        "built-in kinds are applied",
        "APPLY secrets/a?fieldManager=m secret a + {data: {x: eA==}}
         APPLY secrets/a?fieldManager=m secret a + {data: {y: eQ==}}
         APPLY secrets/a?fieldManager=n secret a + {data: {y: eA==}}
         APPLY secrets/b?fieldManager=m secret b + {stringData: {x: x}}
         APPLY leases/a?fieldManager=m lease a + {spec: {holderIdentity: one, leaseDurationSeconds: 15}}
         APPLY leases/a?fieldManager=n lease a + {spec: {holderIdentity: two}}
         APPLY accounts/b?fieldManager=m account b
         APPLY secrets/c?fieldManager=m secret c + {nope: 1}
         APPLY secrets/c?fieldManager=m secret c + {data: x}
         APPLY secrets/c?fieldManager=m secret c + {data: {x: 5}}
         APPLY secrets/c?fieldManager=m secret c + {stringData: {x: true}}",
    ),
];
