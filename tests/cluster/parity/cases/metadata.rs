//! Valid and invalid names, labels, annotations, finalizers and owners.

use super::Case;

pub const CASES: &[Case] = &[
    (
        "names of our kinds are DNS subdomains",
        "POST connections connection A
         POST connections connection a_b
         POST connections connection -a
         POST connections connection a.
         POST connections connection a/b
         POST connections connection a..b
         POST connections connection ..
         POST connections connection a%b
         POST connections connection <a*253>
         POST connections connection <a*254>
         POST connections connection <A*254>
         POST links link a.b-c.0
         POST links link Ä",
    ),
    (
        "names of built-in kinds are judged by their own rules",
        "POST secrets secret A
         POST secrets secret <a*254>
         POST namespaces namespace A
         POST namespaces namespace a.b
         POST namespaces namespace <a*64>
         POST accounts account A_
         POST leases lease A_
         POST secrets secret a/b",
    ),
    (
        "an apply judges the name, too",
        "APPLY connections/A?fieldManager=m connection A
         APPLY connections/b?fieldManager=m connection a
         APPLY connections/a_b?fieldManager=m connection a_b",
    ),
    (
        "labels are judged",
        "POST links link a + {metadata: {labels: {'-x': y}}}
         POST links link a + {metadata: {labels: {'a b': y}}}
         POST links link a + {metadata: {labels: {'/x': y}}}
         POST links link a + {metadata: {labels: {'x/': y}}}
         POST links link a + {metadata: {labels: {'a/b/c': y}}}
         POST links link a + {metadata: {labels: {'A.B/c': y}}}
         POST links link a + {metadata: {labels: {'<x*64>': y}}}
         POST links link a + {metadata: {labels: {'<x*254>/c': y}}}
         POST links link a + {metadata: {labels: {x: 'a b'}}}
         POST links link a + {metadata: {labels: {x: '-a'}}}
         POST links link a + {metadata: {labels: {x: <a*64>}}}
         POST links link a + {metadata: {labels: {'': y}}}
         POST links link a + {metadata: {labels: {'-x': '-y', '-z': '-w'}}}
         POST links link a + {metadata: {labels: {postlink.dev/x: '', y: A_b.c-1}}}
         MERGE links/a {metadata: {labels: {'-x': y}}}
         PUT links/a $14 + {metadata: {labels: {x: 'a b'}}}
         POST secrets secret a + {metadata: {labels: {'-x': 'a b'}}}",
    ),
    (
        "annotations are judged",
        "POST links link a + {metadata: {annotations: {'-x': y}}}
         POST links link a + {metadata: {annotations: {'a b': y}}}
         POST links link a + {metadata: {annotations: {'A.B/c': 'any text: {}'}}}
         POST links link b + {metadata: {annotations: {x: '<a*262144>'}}}
         MERGE links/a {metadata: {annotations: {'/x': y}}}
         POST secrets secret a + {metadata: {annotations: {'-x': y}}}",
    ),
    (
        "finalizers are judged",
        "POST links link a + {metadata: {finalizers: ['a b']}}
         POST links link a + {metadata: {finalizers: ['x.dev/']}}
         POST links link a + {metadata: {finalizers: ['']}}
         POST links link b + {metadata: {finalizers: [plain]}}
         POST links link c + {metadata: {finalizers: [plain.example]}}
         POST links link d + {metadata: {finalizers: [postlink.dev/x, postlink.dev/x]}}
         POST links link e + {metadata: {finalizers: [orphan, foregroundDeletion]}}
         MERGE links/b {metadata: {finalizers: [plain, other]}}
         MERGE links/b {metadata: {finalizers: ['a b']}}
         POST secrets secret a + {metadata: {finalizers: [plain]}}
         POST secrets secret b + {metadata: {finalizers: ['a b']}}",
    ),
    (
        "owners are judged",
        "POST links link a + {metadata: {ownerReferences: [{}]}}
         POST links link a + {metadata: {ownerReferences: [{apiVersion: v1, kind: Secret, name: a, uid: u}]}}
         POST links link b + {metadata: {ownerReferences: [{apiVersion: v1, kind: Secret, name: a, uid: ''}]}}
         POST links link c + {metadata: {ownerReferences: [{apiVersion: a/b/c, kind: Secret, name: a, uid: u}]}}
         POST links link d + {metadata: {ownerReferences: [
            {apiVersion: v1, kind: Secret, name: a, uid: u, controller: true},
            {apiVersion: v1, kind: Secret, name: b, uid: v, controller: true}]}}
         POST links link e + {metadata: {ownerReferences: [{apiVersion: v1, kind: Event, name: a, uid: u}]}}
         POST links link f + {metadata: {ownerReferences: [{apiVersion: v1, kind: Secret, name: a, uid: u, more: x}]}}",
    ),
    (
        "identity cannot be patched",
        "POST links link a
         MERGE links/a {metadata: {name: b}}
         MERGE links/a {metadata: {namespace: elsewhere}}
         MERGE links/a {metadata: {uid: other}}
         MERGE links/a {metadata: {creationTimestamp: '2020-01-01T00:00:00Z'}}
         MERGE links/a {metadata: {creationTimestamp: null}}
         MERGE links/a {metadata: {generation: 50}}
         MERGE links/a {metadata: {deletionTimestamp: '2020-01-01T00:00:00Z'}}
         MERGE links/a {metadata: {uid: null, name: null, namespace: null, resourceVersion: null}}
         MERGE links/a {metadata: {resourceVersion: '0'}}
         MERGE links/a {kind: AutomationRule}
         MERGE links/a {apiVersion: postlink.dev/v2}
         MERGE links/a {kind: null}
         MERGE links/a {metadata: {managedFields: [{}]}}
         MERGE links/a {metadata: {generateName: x-}}
         MERGE links/a {metadata: {selfLink: /x}}",
    ),
    (
        "empty metadata is as none",
        "POST links link a + {metadata: {labels: {}, annotations: {}, finalizers: [], ownerReferences: [], generateName: ''}}
         MERGE links/a {metadata: {labels: {}, annotations: {}}}
         POST links raw {\"apiVersion\": \"postlink.dev/v1alpha1\", \"kind\": \"PostLink\", \"metadata\": {\"name\": \"b\",
            \"labels\": {\"x\": null}, \"annotations\": null, \"finalizers\": null},
            \"spec\": {\"post\": {\"id\": \"b\", \"url\": \"https://social.example/b\"}}}",
    ),
];
