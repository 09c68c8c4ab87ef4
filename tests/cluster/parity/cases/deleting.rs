//! Deletion: preconditions, finalizers, propagation, collections.

use super::Case;

pub const CASES: &[Case] = &[
    (
        "an object without finalizers goes at once",
        "POST connections connection a
         DELETE connections/a
         DELETE connections/a
         GET connections/a
         POST connections connection a",
    ),
    (
        "an object with a finalizer goes with the last one",
        "POST connections connection a + {metadata: {finalizers: [postlink.dev/a, postlink.dev/b]}}
         DELETE connections/a
         DELETE connections/a
         POST connections connection a
         MERGE connections/a {spec: {displayName: A}}
         MERGE connections/a {metadata: {finalizers: [postlink.dev/a, postlink.dev/c]}}
         MERGE connections/a {metadata: {finalizers: [postlink.dev/a, postlink.dev/c, postlink.dev/d]}}
         MERGE connections/a {metadata: {finalizers: [postlink.dev/b]}}
         MERGE connections/a {metadata: {deletionTimestamp: null}}
         MERGE connections/a/status {status: {state: Enabled}}
         MERGE connections/a/status {metadata: {finalizers: []}}
         DELETE connections/a?dryRun=All
         MERGE connections/a?dryRun=All {metadata: {finalizers: null}}
         MERGE connections/a {metadata: {finalizers: null}}
         GET connections/a",
    ),
    (
        "a JSON patch takes the last finalizer off",
        "POST connections connection a + {metadata: {finalizers: [postlink.dev/a]}}
         DELETE connections/a {apiVersion: v1, kind: DeleteOptions}
         JSON connections/a [{op: test, path: /metadata/resourceVersion, value: '${2/metadata/resourceVersion}'},
            {op: remove, path: /metadata/finalizers/0}]
         GET connections/a",
    ),
    (
        "a replace takes the last finalizer off",
        "POST connections connection a + {metadata: {finalizers: [postlink.dev/a]}}
         DELETE connections/a
         PUT connections/a $2 + {metadata: {finalizers: null}, spec: {displayName: A}}
         GET connections/a",
    ),
    (
        "preconditions of a delete",
        "POST connections connection a
         MERGE connections/a {spec: {displayName: A}}
         DELETE connections/a {preconditions: {uid: other}}
         DELETE connections/a {preconditions: {resourceVersion: '${1/metadata/resourceVersion}'}}
         DELETE connections/a {preconditions: {resourceVersion: x}}
         DELETE connections/a {preconditions: {uid: other, resourceVersion: '1'}}
         DELETE connections/a {preconditions: {uid: ''}}
         DELETE connections/a {preconditions: {uid: '${1/metadata/uid}', resourceVersion: '${2/metadata/resourceVersion}'}}
         DELETE connections/a {preconditions: {uid: '${1/metadata/uid}'}}",
    ),
    (
        "preconditions hold for an object that is going, too",
        "POST connections connection a + {metadata: {finalizers: [postlink.dev/a]}}
         DELETE connections/a {preconditions: {uid: other}}
         DELETE connections/a {preconditions: {uid: '${1/metadata/uid}'}}
         DELETE connections/a {preconditions: {uid: other}}
         DELETE connections/a {preconditions: {resourceVersion: '${1/metadata/resourceVersion}'}}
         DELETE connections/a {preconditions: {resourceVersion: '${3/metadata/resourceVersion}'}}",
    ),
    (
        "preconditions of a delete of built-in kinds",
        "POST secrets secret a
         DELETE secrets/a {preconditions: {uid: other}}
         DELETE secrets/a {preconditions: {resourceVersion: '1'}}
         DELETE secrets/a {preconditions: {uid: '${1/metadata/uid}'}}",
    ),
    (
        "the propagation policy in a body or in the query",
        "POST connections connection a
         DELETE connections/a {propagationPolicy: Background}
         POST connections connection b
         DELETE connections/b?propagationPolicy=Background
         POST connections connection c
         DELETE connections/c {propagationPolicy: Sideways}
         DELETE connections/c?propagationPolicy=Sideways
         DELETE connections/c {propagationPolicy: Background, orphanDependents: true}
         DELETE connections/c {orphanDependents: false}
         POST connections connection d
         DELETE connections/d {gracePeriodSeconds: 0}
         POST connections connection e
         DELETE connections/e {gracePeriodSeconds: 30}
         POST connections connection f
         DELETE connections/f?gracePeriodSeconds=5",
    ),
    (
        "a deletion in the foreground waits for the garbage collector",
        "POST connections connection a
         DELETE connections/a {propagationPolicy: Foreground}",
    ),
    (
        "a deletion that orphans waits for the garbage collector",
        "POST connections connection a
         DELETE connections/a {propagationPolicy: Orphan}",
    ),
    (
        "the options of a delete are checked",
        "POST connections connection a
         DELETE connections/a {dryRun: [Some]}
         DELETE connections/a?dryRun=Some
         DELETE connections/a raw {\"preconditions\":
         DELETE connections/a raw hello
         DELETE connections/a []
         DELETE connections/a {kind: PostLink, apiVersion: postlink.dev/v1alpha1}
         DELETE connections/a {kind: DeleteOptions, apiVersion: postlink.dev/v1alpha1, dryRun: [All]}
         DELETE connections/a {kind: DeleteOptions, apiVersion: meta.k8s.io/v1, dryRun: [All]}
         DELETE connections/a {kind: DeleteOptions, apiVersion: v2, dryRun: [All]}
         DELETE connections/a type=text/plain {dryRun: [All]}
         DELETE connections/a {nope: 1, dryRun: [All]}
         DELETE connections/a {gracePeriodSeconds: x}
         DELETE connections/a {gracePeriodSeconds: -1, dryRun: [All]}
         DELETE @nowhere/connections/a",
    ),
    (
        "a collection is deleted object by object",
        "POST links link a + {metadata: {labels: {team: x}}}
         POST links link b + {metadata: {labels: {team: y}}}
         POST links link c + {metadata: {finalizers: [postlink.dev/x]}}
         DELETE links?labelSelector=team=x
         GET links
         DELETE links?fieldSelector=metadata.name=b&dryRun=All
         DELETE links?labelSelector=nothing
         DELETE links {dryRun: [All]}
         DELETE links
         GET links
         DELETE links?labelSelector=team%20x
         DELETE links {preconditions: {uid: other}}
         DELETE secrets
         DELETE @nowhere/links",
    ),
    (
        "a namespace is marked, and nothing new comes into it",
        "POST links link a + {metadata: {finalizers: [postlink.dev/x]}}
         GET namespaces/{ns}
         DELETE namespaces/{ns} {preconditions: {uid: other}}
         DELETE namespaces/{ns} {preconditions: {resourceVersion: '1'}}
         DELETE namespaces/{ns}?dryRun=All
         DELETE namespaces/{ns}
         POST links link b
         POST links link b + {metadata: {name: null, generateName: b-}}
         POST secrets secret b
         APPLY links/b?fieldManager=m link b",
    ),
    (
        "namespaces every cluster needs stay",
        "DELETE namespaces/default
         DELETE namespaces/kube-system
         DELETE namespaces/kube-public?dryRun=All
         DELETE namespaces/nowhere",
    ),
];
