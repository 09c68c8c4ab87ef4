//! Bodies that a server cannot read or reads differently.

use super::Case;

pub const CASES: &[Case] = &[
    (
        "a body of another kind is refused",
        "POST connections rule a
         POST connections connection a + {kind: null}
         POST connections connection a + {apiVersion: null}
         POST connections connection a + {apiVersion: postlink.dev/v1}
         POST connections connection a + {apiVersion: v1}
         POST connections connection a + {apiVersion: a/b/c}
         POST connections {}
         POST secrets account a
         POST secrets secret a + {apiVersion: v2}
         POST secrets secret a + {kind: null, apiVersion: null}",
    ),
    (
        "a body that is no object is refused",
        "POST connections []
         POST connections raw \"text\"
         POST connections raw 5
         POST connections raw null
         POST connections
         PUT connections/a
         POST secrets []
         POST secrets",
    ),
    (
        "a body that is no JSON is refused",
        "POST connections raw {\"apiVersion\":
         POST connections raw {\"apiVersion\": \"postlink.dev/v1alpha1\", kind}
         POST connections raw hello
         PUT connections/a raw hello
         POST secrets raw {\"apiVersion\":
         MERGE connections/a raw {\"spec\":
         JSON connections/a raw [{
         APPLY connections/a?fieldManager=m raw {a: [}",
    ),
    (
        "a body of a type that is not spoken is refused",
        "POST connections type=text/plain connection a
         POST connections type=application/xml raw <a/>
         PUT connections/a type=application/merge-patch+json connection a
         MERGE connections/a type=application/json {spec: {}}
         MERGE connections/a type=text/plain {spec: {}}
         STRATEGIC connections/a {spec: {}}
         MERGE secrets/a type=text/plain {data: {}}
         APPLY connections/a?fieldManager=m type=application/apply-patch+json connection a
         POST secrets type=text/plain secret a",
    ),
    (
        "YAML is spoken, and JSON of any spelling",
        "POST connections type=application/yaml connection a
         POST connections type=application/json;charset=utf-8 connection b
         POST connections type=application/yaml raw a: [",
    ),
    (
        "a field of the wrong form is refused before anything else",
        "POST connections connection a + {metadata: {labels: {team: 5}}}
         POST connections connection a + {metadata: {labels: x}}
         POST connections connection a + {metadata: {finalizers: x}}
         POST connections connection a + {metadata: {finalizers: [5]}}
         POST connections connection a + {metadata: {name: 5}}
         POST connections connection a + {metadata: {creationTimestamp: yesterday}}
         POST connections connection a + {metadata: {generation: x}}
         POST connections connection a + {metadata: {ownerReferences: [x]}}
         POST connections connection a + {metadata: 5}
         POST connections connection a + {metadata: null}
         POST connections connection a
         MERGE connections/a {metadata: {labels: {team: 5}}}
         MERGE connections/a {metadata: {finalizers: x}}
         JSON connections/a [{op: replace, path: /metadata, value: 5}]
         POST secrets secret a + {metadata: {labels: {team: 5}}}
         POST secrets secret a + {data: x}
         POST secrets secret a + {type: 5}",
    ),
    (
        "a field given twice counts as given last, and is told",
        "POST connections raw {\"apiVersion\": \"postlink.dev/v1alpha1\", \"kind\": \"DynamicsConnection\", \"metadata\": {\"name\": \"a\"},
            \"spec\": {\"instanceUrl\": \"https://a.crm.example\", \"credentials\": {\"secretRef\": {\"name\": \"a\", \"name\": \"b\"}}}}
         POST connections?fieldValidation=Strict raw {\"apiVersion\": \"postlink.dev/v1alpha1\", \"kind\": \"DynamicsConnection\",
            \"metadata\": {\"name\": \"b\"}, \"spec\": {\"instanceUrl\": \"https://a.crm.example\", \"instanceUrl\": \"https://b.crm.example\",
            \"credentials\": {\"secretRef\": {\"name\": \"a\"}}}}",
    ),
];
