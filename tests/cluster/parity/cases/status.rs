//! The status and its own endpoint.

use super::Case;

pub const CASES: &[Case] = &[
    (
        "a write to the status changes the status alone",
        "POST connections connection a
         MERGE connections/a/status {status: {state: Enabled, observedGeneration: 1}}
         MERGE connections/a/status {spec: {displayName: A}, status: {state: Downtime}}
         MERGE connections/a/status {metadata: {labels: {team: x}, annotations: {note: y}, finalizers: [postlink.dev/x]}}
         PUT connections/a/status $3 + {spec: {displayName: B}, status: {state: Enabled}}
         JSON connections/a/status [{op: replace, path: /status/state, value: Downtime}]
         JSON connections/a/status [{op: add, path: /spec/displayName, value: C}]
         GET connections/a",
    ),
    (
        "a status that says the same again is no write",
        "POST connections connection a
         MERGE connections/a/status {status: {state: Enabled, observedGeneration: 1}}
         MERGE connections/a/status {status: {state: Enabled, observedGeneration: 1}}
         PUT connections/a/status $3
         MERGE connections/a/status {}
         MERGE connections/a {}",
    ),
    (
        "a status can go, and its defaults return",
        "POST connections connection a
         MERGE connections/a/status {status: {state: Enabled}}
         MERGE connections/a/status {status: null}
         MERGE connections/a/status {status: {observedGeneration: null}}
         MERGE connections/a/status {status: {metadata: {refreshedAt: '2026-01-01T00:00:00Z'}}}
         MERGE connections/a/status {status: {activeRules: null, conditions: []}}",
    ),
    (
        "a status write has the optimistic lock",
        "POST connections connection a
         MERGE connections/a/status {metadata: {resourceVersion: '${1/metadata/resourceVersion}'}, status: {state: Enabled}}
         MERGE connections/a/status {metadata: {resourceVersion: '${1/metadata/resourceVersion}'}, status: {state: Downtime}}
         PUT connections/a/status $1 + {status: {state: Downtime}}
         PUT connections/a/status $2 + {metadata: {resourceVersion: null}}
         PUT connections/a/status $2 + {metadata: {uid: other}}
         MERGE connections/a/status {metadata: {uid: other}, status: {state: Downtime}}
         JSON connections/a/status [{op: test, path: /metadata/resourceVersion, value: '${1/metadata/resourceVersion}'},
            {op: replace, path: /status/state, value: Expired}]
         MERGE connections/b/status {status: {state: Enabled}}
         PUT connections/b/status connection b",
    ),
    (
        "a status is validated",
        "POST connections connection a
         MERGE connections/a/status {status: {state: Sleepy}}
         MERGE connections/a/status {status: {activeRules: [{name: r}]}}
         MERGE connections/a/status {status: {activeRules: [{name: '', uid: u, generation: 1}]}}
         MERGE connections/a/status {status: {observedGeneration: x}}
         MERGE connections/a/status {status: {connectedOn: yesterday}}
         MERGE connections/a/status {status: {organization: {id: x}}}
         MERGE connections/a/status {status: {organization: {uniqueName: x}}}
         MERGE connections/a/status {status: {conditions: [{type: Ready}]}}
         MERGE connections/a/status {status: {conditions: [
            {type: Ready, status: 'True', reason: Ok, message: m, lastTransitionTime: '2026-01-01T00:00:00Z'},
            {type: Ready, status: 'True', reason: Ok, message: m, lastTransitionTime: '2026-01-01T00:00:00Z'}]}}
         MERGE connections/a/status {status: {conditions: [
            {type: Ready, status: Perhaps, reason: 'not one word', message: '<m*4097>', lastTransitionTime: now}]}}
         MERGE connections/a/status {status: {activeRules: [<{name: r, uid: u, generation: 1}, *1001>]}}
         MERGE connections/a/status {status: {nope: 1, organization: {nope: 2}}}
         MERGE connections/a/status?fieldValidation=Strict {status: {nope: 1}}
         MERGE connections/a/status {status: 5}",
    ),
    (
        "a connection with active rules cannot be Disabled",
        "POST connections connection a
         MERGE connections/a/status {status: {activeRules: [{name: r, uid: u, generation: 1}], activeRuleCount: 1, state: Enabled}}
         MERGE connections/a/status {status: {state: Disabled}}
         MERGE connections/a/status {status: {state: Disabled, activeRules: [], activeRuleCount: 0}}
         MERGE connections/a/status {status: {activeRules: [{name: r, uid: u, generation: 1}]}}
         PUT connections/a/status $4 + {status: {activeRules: [{name: r, uid: u, generation: 1}]}}
         JSON connections/a/status [{op: add, path: /status/activeRules/-, value: {name: r, uid: u, generation: 1}}]",
    ),
    (
        "times of the status are dates",
        "POST links link a
         MERGE links/a/status {status: {link: {connection: {name: c, uid: u}, linkedAt: '2026-01-01T00:00:00Z', linkedBy: Hand,
            organizationId: 0f8fad5b-d9cb-469f-a165-70867728950e, socialActivityId: 0f8fad5b-d9cb-469f-a165-70867728950e}}}
         MERGE links/a/status {status: {link: {linkedAt: '2026-01-01'}}}
         MERGE links/a/status {status: {link: {linkedAt: '2026-01-01T00:00:00'}}}
         MERGE links/a/status {status: {link: {linkedAt: '2026-01-01t00:00:00.123z'}}}
         MERGE links/a/status {status: {link: {linkedAt: '2026-01-01T00:00:00+02:00'}}}
         MERGE links/a/status {status: {link: {organizationId: 0F8FAD5BD9CB469FA16570867728950E}}}
         MERGE links/a/status {status: {link: {organizationId: nope}}}
         MERGE links/a/status {status: {link: {linkedBy: Nobody}}}
         MERGE links/a/status {status: {link: null}}",
    ),
];
