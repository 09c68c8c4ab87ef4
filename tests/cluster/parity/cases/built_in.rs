//! Secrets, namespaces, leases, events, service accounts, as far as the controller and its users need them.

use super::Case;

pub const CASES: &[Case] = &[
    (
        "a Secret's texts become data",
        "POST secrets secret a + {stringData: {user: anna, password: 'gehe im'}}
         GET secrets/a
         MERGE secrets/a {stringData: {user: berta}}
         MERGE secrets/a {data: {user: Y2xhcmE=}}
         MERGE secrets/a {data: {password: null}}
         MERGE secrets/a {data: null}
         POST secrets secret b + {data: {x: eA==}, stringData: {x: y}}
         PUT secrets/b $7 + {data: {y: eQ==}}
         PUT secrets/b $8
         STRATEGIC secrets/b {data: {z: eg==}}
         GET secrets",
    ),
    (
        "a Secret is validated",
        "POST secrets secret a + {data: {x: 'no base64!'}}
         POST secrets secret a + {data: {x: abc}}
         POST secrets secret a + {data: {x: 5}}
         POST secrets secret a + {data: {'a b': eA==}}
         POST secrets secret a + {stringData: {'a/b': x}}
         POST secrets secret a + {stringData: {x: 5}}
         POST secrets secret a + {data: {x: ''}}
         MERGE secrets/a {type: kubernetes.io/tls}
         MERGE secrets/a {immutable: true}
         MERGE secrets/a {data: {x: eA==}}
         MERGE secrets/a {immutable: false}
         MERGE secrets/a {metadata: {labels: {x: y}}}
         POST secrets secret b + {type: kubernetes.io/tls}
         POST secrets secret b + {type: kubernetes.io/tls, data: {tls.crt: '', tls.key: ''}}
         POST secrets secret c + {type: example.com/own}",
    ),
    (
        "a Secret's stored form is deleted and replaced like any object",
        "POST secrets secret a
         PUT secrets/a secret a + {data: {x: eA==}}
         PUT secrets/a $1 + {data: {x: eQ==}}
         PUT secrets/a $2 + {metadata: {uid: other}}
         DELETE secrets/a
         DELETE secrets/a",
    ),
    (
        "a namespace",
        "POST namespaces namespace {ns}-b + {metadata: {labels: {team: x}}}
         POST namespaces namespace {ns}-b
         GET namespaces/{ns}-b
         MERGE namespaces/{ns}-b {metadata: {labels: {team: y}}}
         MERGE namespaces/{ns}-b {metadata: {labels: {kubernetes.io/metadata.name: other}}}
         PUT namespaces/{ns}-b namespace {ns}-b
         GET namespaces?labelSelector=kubernetes.io/metadata.name={ns}-b
         GET namespaces?fieldSelector=metadata.name={ns}-b
         POST namespaces namespace {ns}-c + {metadata: {namespace: x}}
         APPLY namespaces/{ns}-d?fieldManager=m namespace {ns}-d
         MERGE namespaces/{ns}-b {spec: {finalizers: []}, status: {phase: Terminating}}",
    ),
    (
        "a lease is taken and renewed",
        "POST leases lease a + {spec: {holderIdentity: one, leaseDurationSeconds: 15, leaseTransitions: 0,
            acquireTime: '2026-01-01T00:00:00.000000Z', renewTime: '2026-01-01T00:00:00.000000Z'}}
         PUT leases/a $1 + {spec: {renewTime: '2026-01-01T00:00:02.000000Z'}}
         PUT leases/a $1 + {spec: {renewTime: '2026-01-01T00:00:03.000000Z'}}
         PUT leases/a $2 + {metadata: {resourceVersion: null}}
         MERGE leases/a {metadata: {resourceVersion: '${1/metadata/resourceVersion}'}, spec: {holderIdentity: two}}
         MERGE leases/a {spec: {leaseDurationSeconds: 0}}
         MERGE leases/a {spec: {leaseTransitions: -1}}
         PUT leases/a $2 + {spec: {renewTime: '2026-01-01T00:00:00Z'}}
         PUT leases/a $2 + {spec: {renewTime: soon}}
         MERGE leases/a {spec: {renewTime: '9999-12-31T23:59:59.000000Z'}}
         PUT leases/b lease b + {spec: {holderIdentity: x}}
         PUT leases/d lease d + {metadata: {resourceVersion: '5'}}
         POST leases lease c
         POST leases lease c
         DELETE leases/a
         GET leases",
    ),
    (
        "an event",
        "POST events event a + {regarding: {kind: PostLink, name: x, namespace: '{ns}', apiVersion: postlink.dev/v1alpha1, uid: u},
            eventTime: '2026-01-01T00:00:00.000000Z', reportingController: postlink.dev/c, reportingInstance: i, action: Link,
            reason: Linked, note: it is linked, type: Normal}
         GET events/a
         GET coreevents/a
         MERGE events/a {series: {count: 2, lastObservedTime: '2026-01-01T00:01:00.000000Z'}}
         MERGE events/a {series: {count: 1}}
         MERGE events/a {note: other}
         GET coreevents?fieldSelector=involvedObject.name=x
         GET events?fieldSelector=regarding.name=x
         GET events?fieldSelector=reason=Linked,type=Normal
         DELETE events/a",
    ),
    (
        "an event is validated",
        "POST events event a
         POST events event a + {eventTime: '2026-01-01T00:00:00.000000Z', regarding: {namespace: elsewhere}}
         POST events event a + {eventTime: '2026-01-01T00:00:00.000000Z', regarding: {namespace: '{ns}'}, type: Loud,
            reportingController: c, reportingInstance: <i*129>, action: A, reason: R}
         POST events event a + {eventTime: '2026-01-01T00:00:00.000000Z', regarding: {namespace: '{ns}'}, type: Normal,
            reportingController: c, reportingInstance: i, action: A, reason: R, note: <n*1025>}
         POST events event a + {eventTime: '2026-01-01T00:00:00.000000Z', regarding: {namespace: '{ns}'}, type: Normal,
            reportingController: no name, reportingInstance: i, action: A, reason: R}
         POST coreevents coreevent c + {involvedObject: {namespace: elsewhere}}",
    ),
    (
        "an event written through the core group",
        "POST coreevents coreevent b + {involvedObject: {namespace: '{ns}', kind: PostLink, name: x}, reason: R, message: m, type: Normal,
            source: {component: c}, firstTimestamp: '2026-01-01T00:00:00Z', lastTimestamp: '2026-01-01T00:00:00Z', count: 1}
         GET events/b",
    ),
    (
        "a service account and its tokens",
        "POST accounts account robot
         GET accounts/robot
         POST accounts account robot
         POST accounts/robot/token {apiVersion: authentication.k8s.io/v1, kind: TokenRequest, spec: {audiences: ['api://x'], expirationSeconds: 3600}}
         POST accounts/robot/token {apiVersion: authentication.k8s.io/v1, kind: TokenRequest, spec: {audiences: ['api://x'], expirationSeconds: 5}}
         POST accounts/nobody/token {apiVersion: authentication.k8s.io/v1, kind: TokenRequest, spec: {audiences: ['api://x']}}
         POST accounts/robot/token {apiVersion: authentication.k8s.io/v1, kind: TokenRequest, spec: {}}
         MERGE accounts/robot {metadata: {labels: {x: y}}}
         DELETE accounts/robot",
    ),
];
