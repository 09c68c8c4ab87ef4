//! Creates and replaces: conflicts, generations, versions, dry runs.

use super::Case;

pub const CASES: &[Case] = &[
    (
        "an object is created once",
        "POST connections connection a
         POST connections connection a
         POST links link a
         POST rules rule a
         POST rules rule a",
    ),
    (
        "what a server chooses cannot be chosen on create",
        "POST connections connection a + {metadata: {uid: mine, creationTimestamp: '2020-01-01T00:00:00Z',
            generation: 7, selfLink: /x, deletionTimestamp: '2020-01-01T00:00:00Z', deletionGracePeriodSeconds: 3}}
         POST connections connection b + {metadata: {resourceVersion: '5'}}
         POST connections connection c + {metadata: {resourceVersion: '0'}}
         POST connections connection d + {metadata: {resourceVersion: x}}
         POST connections connection e + {status: {state: Enabled, observedGeneration: 3}}",
    ),
    (
        "names are generated",
        "POST connections connection x + {metadata: {name: null, generateName: x-}}
         POST connections connection x + {metadata: {generateName: y-}}
         POST connections connection x + {metadata: {name: null}}
         POST connections connection x + {metadata: {name: ''}}
         POST connections connection x + {metadata: {name: null, generateName: <x*60>}}
         POST secrets secret x + {metadata: {name: null, generateName: x-}}",
    ),
    (
        "the namespace of the object is that of the request",
        "POST connections connection a + {metadata: {namespace: elsewhere}}
         POST connections connection a + {metadata: {namespace: '{ns}'}}
         PUT connections/a $2 + {metadata: {namespace: elsewhere}}
         POST @nowhere/connections connection a
         PUT @nowhere/connections/a connection a + {metadata: {resourceVersion: '1'}}
         POST @nowhere/secrets secret a
         POST @Nowhere_/connections connection a",
    ),
    (
        "the name of the object is that of the request",
        "POST connections connection a
         PUT connections/a $1 + {metadata: {name: b}}
         PUT connections/a $1 + {metadata: {name: null}}
         PUT connections/b $1
         POST connections/a connection a",
    ),
    (
        "a replace of what is not there is not found",
        "PUT connections/a connection a
         PUT connections/a connection a + {metadata: {resourceVersion: '5'}}
         PUT secrets/a secret a
         PUT namespaces/nowhere namespace nowhere",
    ),
    (
        "a replace needs the latest version",
        "POST connections connection a
         PUT connections/a $1 + {metadata: {resourceVersion: null}}
         PUT connections/a $1 + {metadata: {resourceVersion: '0'}}
         PUT connections/a $1 + {metadata: {resourceVersion: x}}
         PUT connections/a $1 + {spec: {displayName: A}}
         PUT connections/a $1 + {spec: {displayName: B}}
         PUT connections/a $5 + {metadata: {uid: other}}
         PUT connections/a $5 + {metadata: {uid: null}, spec: {displayName: C}}
         GET connections/a",
    ),
    (
        "a change of the spec raises the generation, one of the metadata does not",
        "POST connections connection a
         PUT connections/a $1 + {spec: {displayName: A}}
         PUT connections/a $2 + {metadata: {labels: {team: x}}}
         PUT connections/a $3 + {metadata: {annotations: {note: x}, generation: 50}}
         PUT connections/a $4 + {metadata: {creationTimestamp: '2020-01-01T00:00:00Z', selfLink: /x}}
         PUT connections/a $4 + {spec: {displayName: null}}",
    ),
    (
        "the first write of nothing new stores the default of the status, the next stores nothing",
        "POST connections connection a
         PUT connections/a $1
         PUT connections/a $2
         PUT connections/a $3
         GET connections/a",
    ),
    (
        "a replace does not change the status",
        "POST connections connection a
         PUT connections/a $1 + {status: {state: Downtime, observedGeneration: 9}}
         PUT connections/a $2 + {status: null}
         GET connections/a",
    ),
    (
        "what is immutable stays",
        "POST connections connection a
         PUT connections/a $1 + {spec: {instanceUrl: 'https://other.crm.example'}}
         PUT connections/a $1 + {metadata: {deletionTimestamp: '2020-01-01T00:00:00Z'}}
         PUT connections/a $1 + {metadata: {deletionGracePeriodSeconds: 5}}
         PUT connections/a $1 + {kind: PostLink}
         PUT connections/a $1 + {apiVersion: postlink.dev/v1}",
    ),
    (
        "a dry-run create stores nothing",
        "POST connections?dryRun=All connection a
         GET connections/a",
    ),
    (
        "a dry run stores nothing",
        "POST connections connection a
         PUT connections/a?dryRun=All $1 + {spec: {displayName: A}}
         MERGE connections/a?dryRun=All {spec: {displayName: B}}
         JSON connections/a?dryRun=All [{op: add, path: /spec/displayName, value: C}]
         APPLY connections/a?dryRun=All&fieldManager=m connection a + {spec: {displayName: D}}
         APPLY connections/b?dryRun=All&fieldManager=m connection b
         DELETE connections/a?dryRun=All
         DELETE connections/a {dryRun: [All]}
         POST connections?dryRun=All connection a
         GET connections/a
         GET connections/b",
    ),
    (
        "the options of a write are checked",
        "POST connections?dryRun=some connection a
         POST connections?fieldManager=<m*129> connection a
         POST connections?fieldValidation=Loud connection a
         POST connections connection a
         PUT connections/a?dryRun=some $4
         MERGE connections/a?dryRun=some {spec: {displayName: A}}
         MERGE connections/a?force=true {spec: {displayName: A}}
         APPLY connections/a connection a
         APPLY connections/a?fieldManager=m&force=x connection a
         POST connections?fieldManager=a%0Ab connection b
         POST connections?dryRun=some&fieldValidation=Loud connection c",
    ),
    (
        "writers are told apart by their field manager",
        "POST connections?fieldManager=one connection a
         MERGE connections/a?fieldManager=two {spec: {displayName: A}, metadata: {labels: {team: x}}}
         MERGE connections/a?fieldManager=one {spec: {displayName: B}}
         MERGE connections/a/status?fieldManager=three {status: {state: Enabled}}
         PUT connections/a?fieldManager=four $4 + {metadata: {managedFields: []}}
         MERGE connections/a?fieldManager=one {spec: {displayName: C}}",
    ),
    (
        "methods that make no sense are not allowed",
        "PUT connections connection a
         MERGE connections {spec: {}}
         POST connections/a/status connection a
         DELETE connections/a/status
         PUT connections/a/scale connection a
         POST /apis/postlink.dev/v1alpha1/postlinks link a
         POST namespaces/{ns} namespace {ns}
         DELETE namespaces
         POST /nowhere {a: b}
         POST /apis/postlink.dev/v1alpha1/namespaces/{ns}/nothings {a: b}",
    ),
];
