//! Merge patches and JSON patches.

use super::Case;

pub const CASES: &[Case] = &[
    (
        "a merge patch changes what it names",
        "POST connections connection a
         MERGE connections/a {spec: {displayName: A}}
         MERGE connections/a {spec: {displayName: A}}
         MERGE connections/a {metadata: {labels: {team: x}, annotations: {note: y}}}
         MERGE connections/a {metadata: {labels: {team: null}, annotations: null}}
         MERGE connections/a {spec: {displayName: null, enabled: null}}
         MERGE connections/a {spec: {recordTypes: [lead]}}
         MERGE connections/a {spec: {recordTypes: null}}
         MERGE connections/a {}
         GET connections/a",
    ),
    (
        "a merge patch is checked",
        "MERGE connections/a {spec: {displayName: A}}
         POST connections connection a
         MERGE connections/a []
         MERGE connections/a raw 5
         MERGE connections/a raw null
         MERGE connections/a raw \"text\"
         MERGE connections/a
         MERGE connections/a {spec: null}
         MERGE connections/a {spec: {instanceUrl: null}}
         MERGE connections/a {spec: 5}
         MERGE connections/a {metadata: null}
         MERGE connections/a {status: {state: Enabled}}",
    ),
    (
        "a merge patch with a version is refused when it is stale",
        "POST connections connection a
         MERGE connections/a {metadata: {resourceVersion: '${1/metadata/resourceVersion}'}, spec: {displayName: A}}
         MERGE connections/a {metadata: {resourceVersion: '${1/metadata/resourceVersion}'}, spec: {displayName: B}}
         MERGE connections/a {metadata: {resourceVersion: x}}
         MERGE connections/a {metadata: {resourceVersion: '1'}}
         MERGE connections/a {metadata: {uid: '${1/metadata/uid}'}, spec: {displayName: C}}
         MERGE connections/a {metadata: {uid: other}, spec: {displayName: D}}",
    ),
    (
        "a JSON patch changes what it names",
        "POST connections connection a
         JSON connections/a [{op: add, path: /spec/displayName, value: A}]
         JSON connections/a [{op: replace, path: /spec/displayName, value: B}]
         JSON connections/a [{op: replace, path: /spec/displayName, value: B}]
         JSON connections/a [{op: add, path: /metadata/labels, value: {team: x}}]
         JSON connections/a [{op: add, path: /metadata/labels/postlink.dev~1x, value: y}]
         JSON connections/a [{op: copy, from: /spec/displayName, path: /metadata/labels/copy}]
         JSON connections/a [{op: move, from: /metadata/labels/copy, path: /metadata/labels/moved}]
         JSON connections/a [{op: add, path: /spec/recordTypes/-, value: account}]
         JSON connections/a [{op: add, path: /spec/recordTypes/0, value: contact}]
         JSON connections/a [{op: remove, path: /spec/recordTypes/1}]
         JSON connections/a [{op: remove, path: /spec/displayName}]
         JSON connections/a []
         GET connections/a",
    ),
    (
        "a JSON patch tests before it writes",
        "POST connections connection a
         JSON connections/a [{op: test, path: /metadata/resourceVersion, value: '${1/metadata/resourceVersion}'},
            {op: add, path: /spec/displayName, value: A}]
         JSON connections/a [{op: test, path: /metadata/resourceVersion, value: '${1/metadata/resourceVersion}'},
            {op: add, path: /spec/displayName, value: B}]
         JSON connections/a [{op: test, path: /spec/displayName, value: A}]
         JSON connections/a [{op: test, path: /spec/displayName, value: C}]
         JSON connections/a [{op: test, path: /spec/nothing, value: null}]
         JSON connections/a [{op: test, path: /spec/nothing/below, value: null}]
         JSON connections/a [{op: test, path: /spec/nothing, value: x}]
         JSON connections/a [{op: test, path: /spec/recordTypes, value: [incident, lead]}]
         JSON connections/a [{op: replace, path: /metadata/resourceVersion, value: '${1/metadata/resourceVersion}'}]
         JSON connections/a [{op: test, path: /metadata/uid, value: '${1/metadata/uid}'},
            {op: replace, path: /metadata/finalizers, value: []}]
         JSON connections/a [{op: test, path: /metadata/finalizers, value: null},
            {op: add, path: /metadata/finalizers, value: [postlink.dev/active-rules]}]
         JSON connections/a [{op: test, path: /metadata/finalizers/0, value: postlink.dev/active-rules},
            {op: remove, path: /metadata/finalizers/0}]",
    ),
    (
        "a JSON patch that does not apply is refused",
        "POST connections connection a
         JSON connections/a [{op: remove, path: /spec/nothing}]
         JSON connections/a [{op: replace, path: /spec/nothing, value: x}]
         JSON connections/a [{op: add, path: /spec/nothing/below, value: x}]
         JSON connections/a [{op: add, path: /spec/recordTypes/9, value: x}]
         JSON connections/a [{op: move, from: /spec/nothing, path: /spec/displayName}]
         JSON connections/a [{op: nonsense, path: /spec}]
         JSON connections/a [{op: add, path: spec, value: x}]
         JSON connections/a [{op: add, value: x}]
         JSON connections/a [{path: /spec}]
         JSON connections/a [{op: add, path: /spec/displayName}]
         JSON connections/a {op: add, path: /spec, value: x}
         JSON connections/a raw 5
         JSON connections/a raw null
         JSON connections/a [5]
         JSON connections/a
         JSON connections/b [{op: remove, path: /spec}]
         JSON connections/a [{op: remove, path: /spec}]
         JSON connections/a [{op: remove, path: /kind}]
         JSON connections/a [{op: replace, path: '', value: {}}]
         JSON connections/a [{op: replace, path: /spec/enabled, value: x}]
         JSON connections/a [{op: add, path: /metadata/name, value: b}]",
    ),
    (
        "a JSON patch has a limit",
        "POST connections connection a
         JSON connections/a [<{op: test, path: /kind, value: DynamicsConnection}, *10000>]
         JSON connections/a [<{op: test, path: /kind, value: DynamicsConnection}, *10001>]",
    ),
];
