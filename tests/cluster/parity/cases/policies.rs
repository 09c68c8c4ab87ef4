//! The policies: their answers to people, tools and system users.

use super::Case;

pub const CASES: &[Case] = &[
    (
        "people are denied, tools warned, while rules use a connection",
        "POST connections connection a
         MERGE connections/a/status {status: {activeRules: [{name: r, uid: u, generation: 1}]}}
         alice: DELETE connections/a
         alice: MERGE connections/a {spec: {enabled: false}}
         alice: PUT connections/a $2 + {spec: {enabled: false}}
         alice: JSON connections/a [{op: replace, path: /spec/enabled, value: false}]
         alice: APPLY connections/a?fieldManager=kubectl&force=true connection a + {spec: {enabled: false}}
         alice: MERGE connections/a?dryRun=All {spec: {enabled: false}}
         alice: DELETE connections/a?dryRun=All
         alice: MERGE connections/a {spec: {displayName: A}}
         alice: DELETE connections
         deployer: DELETE connections/a
         flux: MERGE connections/a?dryRun=All {spec: {enabled: false}}
         flux: DELETE connections/a?dryRun=All
         helm: DELETE connections/a?dryRun=All
         argo: DELETE connections/a
         alice: DELETE connections/a",
    ),
    (
        "an enabled connection can be disabled when no rule uses it",
        "POST connections connection a
         alice: MERGE connections/a {spec: {enabled: false}}
         MERGE connections/a/status {status: {activeRules: [{name: r, uid: u, generation: 1}]}}
         alice: MERGE connections/a {spec: {displayName: A}}
         alice: MERGE connections/a {spec: {enabled: true}}
         alice: MERGE connections/a {spec: {enabled: false}}
         alice: MERGE connections/a/status {status: {activeRules: []}}
         alice: MERGE connections/a {spec: {enabled: false}}
         alice: DELETE connections/a",
    ),
    (
        "the refusal names the rules",
        "POST connections connection a
         MERGE connections/a/status {status: {activeRules: [{name: r1, uid: u, generation: 1}, {name: r2, uid: v, generation: 1}]}}
         alice: DELETE connections/a
         MERGE connections/a/status {status: {activeRules: [{name: r1, uid: u, generation: 1}, {name: r2, uid: v, generation: 1},
            {name: r3, uid: w, generation: 1}]}}
         alice: DELETE connections/a
         MERGE connections/a/status {status: {activeRules: [<{name: r, uid: u, generation: 1}, *7>]}}
         alice: DELETE connections/a
         flux: MERGE connections/a {spec: {enabled: false}}",
    ),
    (
        "labels and annotations of tools count for service accounts, Helm's for everybody",
        "POST connections connection a + {metadata: {labels: {kustomize.toolkit.fluxcd.io/name: x}}}
         MERGE connections/a/status {status: {activeRules: [{name: r, uid: u, generation: 1}]}}
         alice: DELETE connections/a?dryRun=All
         deployer: DELETE connections/a?dryRun=All
         POST connections connection b + {metadata: {labels: {app.kubernetes.io/managed-by: Helm}}}
         MERGE connections/b/status {status: {activeRules: [{name: r, uid: u, generation: 1}]}}
         alice: DELETE connections/b?dryRun=All
         alice: MERGE connections/b {spec: {enabled: false}}
         POST connections connection c + {metadata: {annotations: {argocd.argoproj.io/tracking-id: x}}}
         MERGE connections/c/status {status: {activeRules: [{name: r, uid: u, generation: 1}]}}
         alice: DELETE connections/c?dryRun=All
         deployer: DELETE connections/c?dryRun=All
         deployer: MERGE connections/c {metadata: {annotations: null}, spec: {enabled: false}}
         POST connections connection d
         MERGE connections/d/status {status: {activeRules: [{name: r, uid: u, generation: 1}]}}
         deployer: MERGE connections/d {metadata: {labels: {argocd.argoproj.io/instance: x}}, spec: {enabled: false}}",
    ),
    (
        "the guard keeps the finalizer while rules use the connection, from everybody",
        "POST connections connection a + {metadata: {finalizers: [postlink.dev/active-rules, postlink.dev/other]}}
         MERGE connections/a/status {status: {activeRules: [{name: r, uid: u, generation: 1}]}}
         MERGE connections/a {metadata: {finalizers: [postlink.dev/other]}}
         alice: JSON connections/a [{op: remove, path: /metadata/finalizers/0}]
         flux: PUT connections/a connection a + {metadata: {resourceVersion: '${2/metadata/resourceVersion}'}}
         argo: MERGE connections/a {metadata: {finalizers: null}}
         MERGE connections/a {metadata: {finalizers: [postlink.dev/active-rules]}}
         flux: MERGE connections/a {metadata: {finalizers: null}, spec: {enabled: false}}
         # A person's request that both policies deny is in no table: which of them speaks is left to chance.
         flux: DELETE connections/a
         flux: DELETE connections/a
         alice: DELETE connections/a
         MERGE connections/a {metadata: {finalizers: null}}
         MERGE connections/a/status {status: {activeRules: []}}
         MERGE connections/a {metadata: {finalizers: null}}",
    ),
    (
        "a request that is refused for two reasons",
        "POST connections connection a + {metadata: {finalizers: [postlink.dev/active-rules]}}
         MERGE connections/a/status {status: {activeRules: [{name: r, uid: u, generation: 1}]}}
         alice: MERGE connections/a {spec: {enabled: false, linksPerSecond: 0}}
         alice: MERGE connections/a {metadata: {resourceVersion: '1'}, spec: {enabled: false}}
         alice: MERGE connections/a {spec: {enabled: false, nope: 1}}
         alice: DELETE connections/a {preconditions: {uid: other}}
         alice: DELETE connections/a {preconditions: {resourceVersion: '1'}}
         flux: MERGE connections/a?fieldValidation=Warn {spec: {enabled: false, nope: 1}}",
    ),
    (
        "links and rules know no policy",
        "POST rules rule r
         alice: MERGE rules/r {spec: {active: false}}
         alice: DELETE rules/r
         POST links link a
         alice: DELETE links/a",
    ),
];

pub const WARNING: &[Case] = &[
    (
        "people are only warned",
        "POST connections connection a
         MERGE connections/a/status {status: {activeRules: [{name: r, uid: u, generation: 1}]}}
         alice: DELETE connections/a?dryRun=All
         alice: MERGE connections/a?dryRun=All {spec: {enabled: false}}
         alice: DELETE connections?dryRun=All
         flux: DELETE connections/a?dryRun=All
         alice: MERGE connections/a {spec: {enabled: false, nope: 1}}
         alice: DELETE connections/a
         alice: DELETE connections/a",
    ),
    (
        "the guard denies in every mode",
        "POST connections connection a + {metadata: {finalizers: [postlink.dev/active-rules]}}
         MERGE connections/a/status {status: {activeRules: [{name: r, uid: u, generation: 1}, {name: s, uid: v, generation: 1}]}}
         alice: MERGE connections/a {metadata: {finalizers: null}}
         alice: MERGE connections/a {metadata: {finalizers: null}, spec: {enabled: false}}
         alice: DELETE connections/a
         alice: MERGE connections/a {metadata: {finalizers: null}}",
    ),
];
