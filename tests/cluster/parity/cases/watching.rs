//! Watches: which events, in which order, from where.

use super::Case;

pub const CASES: &[Case] = &[
    (
        "a watch tells what happened since a version",
        "POST links link a
         POST links link b
         MERGE links/a {spec: {unlink: true}}
         MERGE links/a/status {status: {observedGeneration: 2}}
         MERGE links/a/status {status: {observedGeneration: 2}}
         POST rules rule r
         DELETE links/b
         POST links link b
         WATCH 5 links?resourceVersion=${1/metadata/resourceVersion}
         WATCH 2 links?resourceVersion=${3/metadata/resourceVersion}&allowWatchBookmarks=true
         GET links/a?watch=true",
    ),
    (
        "a deletion with finalizers is a change, then a deletion",
        "POST links link a + {metadata: {finalizers: [postlink.dev/x]}}
         DELETE links/a
         MERGE links/a {metadata: {finalizers: null}}
         WATCH 2 links?resourceVersion=${1/metadata/resourceVersion}",
    ),
    (
        "a watch without a version begins with what is there",
        "POST links link b
         POST links link a
         WATCH 2 links
         WATCH 2 links?resourceVersion=0
         WATCH 1 links?fieldSelector=metadata.name=a
         WATCH 2 links?resourceVersion=0&timeoutSeconds=1",
    ),
    (
        "initial events end with a bookmark",
        "POST links link b
         POST links link a
         WATCH 3 links?sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan
         WATCH 3 links?sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&resourceVersion=0
         WATCH 3 links?sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&resourceVersion=${2/metadata/resourceVersion}
         WATCH 1 connections?sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan
         MERGE links/a {spec: {unlink: true}}
         WATCH 2 links?fieldSelector=metadata.name=a&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan
         WATCH 1 links?sendInitialEvents=false&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&resourceVersion=${2/metadata/resourceVersion}",
    ),
    (
        "the options of a watch are checked",
        "WATCH 1 links?sendInitialEvents=true
         WATCH 1 links?resourceVersionMatch=NotOlderThan
         WATCH 1 links?resourceVersionMatch=Exact&sendInitialEvents=true
         WATCH 1 links?resourceVersion=x
         WATCH 1 links?fieldSelector=spec.nope=x
         WATCH 1 links?labelSelector=a%20b
         WATCH 1 /apis/postlink.dev/v1alpha1/namespaces/{ns}/nothings
         WATCH 1 links?sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=Exact",
    ),
    (
        "what leaves a selection is deleted for its watchers, what enters is added",
        "POST links link a + {metadata: {labels: {team: x}}}
         POST links link b
         MERGE links/b {metadata: {labels: {team: x}}}
         MERGE links/a {metadata: {labels: {team: y}}}
         MERGE links/b {spec: {unlink: true}}
         DELETE links/b
         WATCH 4 links?labelSelector=team=x&resourceVersion=${1/metadata/resourceVersion}
         WATCH 3 links?labelSelector=team!=x&resourceVersion=${1/metadata/resourceVersion}",
    ),
    (
        "fields select in a watch, too",
        "POST rules rule r
         POST rules rule s + {spec: {connectionRef: {name: b}}}
         MERGE rules/r {spec: {connectionRef: {name: b}}}
         MERGE rules/s {spec: {connectionRef: {name: a}}}
         DELETE rules/r
         WATCH 4 rules?fieldSelector=spec.connectionRef.name=b&resourceVersion=${1/metadata/resourceVersion}
         WATCH 2 /apis/postlink.dev/v1alpha1/automationrules?fieldSelector=metadata.namespace={ns}&resourceVersion=${1/metadata/resourceVersion}",
    ),
    (
        "metadata can be watched alone",
        "POST links link a
         DELETE links/a
         WATCH 1 links?resourceVersion=${1/metadata/resourceVersion} accept=application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    ),
    (
        "built-in kinds are watched",
        "POST secrets secret a + {stringData: {x: y}}
         MERGE secrets/a {data: {x: eA==}}
         DELETE secrets/a
         WATCH 2 secrets?resourceVersion=${1/metadata/resourceVersion}
         POST leases lease a
         WATCH 1 leases
         MERGE namespaces/{ns} {metadata: {labels: {team: x}}}
         WATCH 1 namespaces?fieldSelector=metadata.name={ns}",
    ),
    (
        "a namespace that goes takes its objects along",
        "POST links link a
         POST secrets secret a
         DELETE namespaces/{ns}
         WATCH 1 links?resourceVersion=${1/metadata/resourceVersion}
         WATCH 1 secrets?resourceVersion=${2/metadata/resourceVersion}
         WATCH 1 namespaces?fieldSelector=metadata.name={ns}&resourceVersion=${1/metadata/resourceVersion}",
    ),
];

/// Token of a page whose revision, the first of all, is forgotten: `{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"a\\u0000\"}`.
pub const FORGOTTEN: &[Case] = &[(
    "a past that is forgotten is gone",
    "POST links link a
         POST links link b
         COMPACT
         WATCH 1 links?resourceVersion=1
         WATCH 1 links?resourceVersion=1&allowWatchBookmarks=true
         GET links?resourceVersion=1&resourceVersionMatch=Exact
         GET links?resourceVersion=1&limit=1
         GET links?limit=1&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0
         GET links?limit=1&continue=${8/metadata/continue}",
)];
