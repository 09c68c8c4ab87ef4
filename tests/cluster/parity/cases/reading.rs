//! Reads: single objects, lists, pages, selectors, resource versions.

use super::Case;

pub const CASES: &[Case] = &[
    (
        "an object is read as it was written",
        "POST connections connection a
         GET connections/a
         GET connections/a/status
         GET connections/a?resourceVersion=0
         GET connections/a?resourceVersion=${1/metadata/resourceVersion}",
    ),
    (
        "what is not there is not found",
        "GET connections/a
         GET connections/a/status
         GET @nowhere/connections/a
         GET secrets/a
         GET namespaces/nowhere
         GET leases/a
         GET events/a
         GET coreevents/a
         GET accounts/a",
    ),
    (
        "what is not served is told apart from what is not there",
        "GET /apis/postlink.dev/v1alpha1/namespaces/{ns}/nothings
         GET /apis/postlink.dev/v1alpha1/nothings/a
         GET /apis/postlink.dev/v2/namespaces/{ns}/postlinks
         GET /apis/nobody.example/v1/things
         GET /apis/nobody.example
         GET /api/v2
         GET /nowhere
         GET connections/a/scale
         GET /api/v1/namespaces/{ns}/nothings",
    ),
    (
        "a list without objects is empty, also of a namespace that is not there",
        "GET connections
         GET @nowhere/connections
         GET secrets
         GET @nowhere/secrets
         GET leases
         GET events
         GET coreevents",
    ),
    (
        "a list has all objects in order",
        "POST connections connection b
         POST connections connection a
         POST connections connection a.b
         POST links link a
         GET connections
         GET links",
    ),
    (
        "pages go on where they ended",
        "POST links link a
         POST links link b
         POST links link c
         POST links link d
         POST links link e
         GET links?limit=2
         GET links?limit=2&continue=${6/metadata/continue}
         GET links?limit=2&continue=${7/metadata/continue}
         GET links?continue=${6/metadata/continue}
         GET links?limit=5
         GET links?limit=6
         GET links?limit=0",
    ),
    (
        "a page shows the state of the first page",
        "POST links link a
         POST links link b
         POST links link c
         GET links?limit=1
         DELETE links/b
         MERGE links/c {spec: {unlink: true}}
         POST links link d
         GET links?limit=5&continue=${4/metadata/continue}
         GET links",
    ),
    (
        "a continue token is checked",
        "POST links link a
         POST links link b
         GET links?limit=1
         GET links?continue=nonsense
         GET links?continue=e30
         GET links?limit=1&continue=${3/metadata/continue}&resourceVersion=1
         GET links?limit=1&continue=${3/metadata/continue}&resourceVersionMatch=Exact
         GET links?limit=x
         GET links?limit=-1",
    ),
    (
        "labels select",
        "POST links link a + {metadata: {labels: {team: x, tier: '1'}}}
         POST links link b + {metadata: {labels: {team: y, tier: '5'}}}
         POST links link c
         GET links?labelSelector=team=x
         GET links?labelSelector=team==x
         GET links?labelSelector=team!=x
         GET links?labelSelector=team
         GET links?labelSelector=!team
         GET links?labelSelector=team%20in%20(x,y)
         GET links?labelSelector=team%20notin%20(x)
         GET links?labelSelector=team=x,tier=1
         GET links?labelSelector=tier%3E3
         GET links?labelSelector=tier%3C3
         GET links?labelSelector=team=
         GET links?labelSelector=team=x&limit=1
         GET links?labelSelector=team&limit=1",
    ),
    (
        "a label selector is checked",
        "GET links?labelSelector=team%20x
         GET links?labelSelector=team%20in%20x
         GET links?labelSelector=team%20in%20(x
         GET links?labelSelector==x
         GET links?labelSelector=team=x%20y
         GET links?labelSelector=team=-x
         GET links?labelSelector=-team=x
         GET links?labelSelector=tier%3Ex
         GET links?labelSelector=team,,tier
         GET links?labelSelector=,",
    ),
    (
        "fields select, those of every object and those of the definitions",
        "POST links link a
         POST links link b
         POST rules rule r
         POST rules rule s + {spec: {connectionRef: {name: b}}}
         GET links?fieldSelector=metadata.name=a
         GET links?fieldSelector=metadata.name!=a
         GET links?fieldSelector=metadata.namespace={ns}
         GET links?fieldSelector=metadata.namespace=nowhere
         GET links?fieldSelector=spec.post.id=b
         GET links?fieldSelector=spec.post.id!=b
         GET links?fieldSelector=spec.post.id==b,metadata.name=b
         GET rules?fieldSelector=spec.connectionRef.name=b
         GET /apis/postlink.dev/v1alpha1/postlinks?fieldSelector=metadata.namespace={ns},metadata.name=a
         GET rules?fieldSelector=spec.connectionRef.name=b&limit=1",
    ),
    (
        "a field selector is checked",
        "GET links?fieldSelector=spec.post.url=x
         GET connections?fieldSelector=spec.enabled=true
         GET links?fieldSelector=nonsense
         GET links?fieldSelector=a=b,nonsense
         GET secrets?fieldSelector=type=Opaque
         GET secrets?fieldSelector=data=x
         GET leases?fieldSelector=spec=x
         GET leases?fieldSelector=metadata.name=x
         GET accounts?fieldSelector=secrets=x
         GET events?fieldSelector=note=x
         GET coreevents?fieldSelector=message=x",
    ),
    (
        "a list at a resource version is exact or not older",
        "POST links link a
         POST links link b
         GET links?resourceVersion=0
         GET links?resourceVersion=${2/metadata/resourceVersion}&resourceVersionMatch=NotOlderThan
         GET links?resourceVersion=${1/metadata/resourceVersion}&resourceVersionMatch=Exact
         GET links?resourceVersion=${1/metadata/resourceVersion}&limit=5
         GET links?resourceVersion=${2/metadata/resourceVersion}&resourceVersionMatch=Exact&limit=1",
    ),
    (
        "the options of a list are checked",
        "GET links?resourceVersionMatch=Exact
         GET links?resourceVersionMatch=NotOlderThan
         GET links?resourceVersionMatch=Nonsense&resourceVersion=1
         GET links?resourceVersionMatch=Exact&resourceVersion=0
         GET links?sendInitialEvents=true
         GET links?resourceVersion=x
         GET links/a?resourceVersion=x
         GET links?resourceVersion=-1
         GET links?timeoutSeconds=x",
    ),
    (
        "a resource version of the future is a timeout",
        "GET links?resourceVersion=900000000&resourceVersionMatch=NotOlderThan
         GET links?resourceVersion=900000000&resourceVersionMatch=Exact",
    ),
    (
        "an object can be read as its metadata only",
        "POST links link a + {metadata: {labels: {team: x}}}
         GET links/a accept=application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1
         GET links accept=application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    ),
    (
        "a form that is not spoken is not acceptable",
        "GET links accept=text/html
         GET links accept=application/vnd.kubernetes.protobuf,application/json
         GET links accept=*/*",
    ),
];
