//! An object as the API server sent it, decoded when it is needed: a page of large objects is in memory as text only, and
//! an own write that comes back through the watch is not decoded at all.

use super::patch::ApiError;
use kube::{Resource, core::ObjectMeta};
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error};
use serde_json::{Value, value::RawValue};
use std::{borrow::Cow, fmt, marker::PhantomData};

/// An object of the kind `K`. Of its metadata only the identity is decoded.
#[derive(Clone)]
pub struct Received<K> {
    metadata: ObjectMeta,
    text: Box<RawValue>,
    kind: PhantomData<fn() -> K>,
}

impl<K: DeserializeOwned> Received<K> {
    /// # Errors
    /// The field that cannot be decoded, and why; never its value, which may be a post's text (§6).
    pub fn decode(&self) -> Result<K, String> {
        serde_json::from_str(self.text.get()).or_else(|_| self.decode_again())
    }

    /// The same, of an answer that cannot be used otherwise.
    pub fn decoded(&self) -> Result<K, ApiError> {
        self.decode().map_err(|fault| ApiError::Unanswered(format!("it cannot be decoded: {fault}")))
    }

    /// Decodes with the path, and without the times in `managedFields`. The API server accepts years there that cannot be
    /// decoded here, and nothing depends on them.
    fn decode_again(&self) -> Result<K, String> {
        let mut object = self.value().ok_or("a number or a text is not valid")?;
        let managed = object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
        for entry in managed.into_iter().flatten().filter_map(Value::as_object_mut) {
            entry.remove("time");
        }
        serde_path_to_error::deserialize(object).map_err(|error| {
            let why = without_value(&error.inner().to_string());
            match error.path().to_string() {
                path if path == "." => why,
                path => format!("{path}: {why}"),
            }
        })
    }
}

impl<K> Received<K> {
    /// The length of the object as JSON.
    pub fn bytes(&self) -> usize {
        self.text.get().len()
    }

    /// The object without a type; `None` if it has a number or a text that JSON admits and Rust cannot hold.
    pub fn value(&self) -> Option<Value> {
        serde_json::from_str(self.text.get()).ok()
    }
}

/// A decoding error without the value and the position. Only serde's fixed phrases are kept.
fn without_value(error: &str) -> String {
    let error = error.rsplit_once(" at line ").map_or(error, |(error, _)| error);
    if error.starts_with("missing field") {
        return error.to_owned();
    }
    let faults = ["invalid type", "invalid value", "invalid length", "unknown variant", "unknown field"];
    let Some(fault) = faults.into_iter().find(|fault| error.starts_with(fault)) else {
        return "the value is not valid".to_owned();
    };
    // The last occurrence: an earlier one is part of the value.
    let expected = error.rfind("expected ").map(|at| &error[at..]);
    format!("{fault}, {}", expected.unwrap_or("expected something else"))
}

impl<'de, K> Deserialize<'de> for Received<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            metadata: Identity,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Identity {
            name: Option<String>,
            namespace: Option<String>,
            uid: Option<String>,
            resource_version: Option<String>,
        }
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let Object { metadata } =
            serde_json::from_str(text.get()).map_err(|_| D::Error::custom("an object without metadata"))?;
        let Identity { name, namespace, uid, resource_version } = metadata;
        let metadata = ObjectMeta { name, namespace, uid, resource_version, ..ObjectMeta::default() };
        Ok(Self { metadata, text, kind: PhantomData })
    }
}

/// Without the text, which may be a post's.
impl<K> fmt::Debug for Received<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").field("name", &self.metadata.name).finish_non_exhaustive()
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Received<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::PostLink;
    use kube::{ResourceExt, core::WatchEvent};
    use serde_json::json;

    fn received(object: &Value) -> Received<PostLink> {
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn link(post: &Value) -> Value {
        json!({
            "apiVersion": "postlink.dev/v1alpha1", "kind": "PostLink",
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7"},
            "spec": {"post": post},
        })
    }

    #[test]
    fn fault_names_the_field_and_not_the_value() {
        let post = json!({"url": "https://social.example/x", "id": "x"});
        assert_eq!(received(&link(&post)).decode().unwrap().spec.post.id, "x");
        for (field, value, fault) in [
            (
                "reach",
                json!("my \"whole\" post. expected i32"),
                "spec.post.reach: invalid type, expected i32",
            ),
            ("content", json!(5), "spec.post.content: invalid type, expected a string"),
            ("publishedAt", json!("my post at line 5"), "spec.post.publishedAt: the value is not valid"),
        ] {
            let mut post = post.clone();
            post[field] = value;
            assert_eq!(received(&link(&post)).decode().unwrap_err(), fault);
        }
        let fault = received(&link(&json!({"id": "x"}))).decode().unwrap_err();
        assert_eq!(fault, "spec.post: missing field `url`");
    }

    #[test]
    fn times_of_managed_fields_do_not_count() {
        let mut object = link(&json!({"url": "https://social.example/x", "id": "x"}));
        let managed = json!({"manager": "m", "operation": "Apply", "time": "9999-12-31T23:59:59Z"});
        object["metadata"]["managedFields"] =
            json!([managed, {"manager": "n", "time": "2026-01-01T00:00:00Z"}]);
        let decoded = received(&object).decode().unwrap();
        let managers: Vec<_> =
            decoded.managed_fields().iter().map(|entry| entry.manager.as_deref()).collect();
        assert_eq!(managers, [Some("m"), Some("n")]);
        object["spec"]["post"]["content"] = json!(5);
        let fault = received(&object).decode().unwrap_err();
        assert_eq!(fault, "spec.post.content: invalid type, expected a string");
    }

    #[test]
    fn watch_event_is_read_as_an_api_server_writes_it() {
        let object = link(&json!({"url": "https://social.example/x", "id": "x"}));
        let line = format!(r#"{{"type":"MODIFIED","object":{object}}}"#);
        let event: WatchEvent<Received<PostLink>> = serde_json::from_str(&line).unwrap();
        let WatchEvent::Modified(received) = event else { panic!("{event:?}") };
        assert_eq!((received.name_any().as_str(), received.resource_version().as_deref()), ("a", Some("7")));
        assert_eq!(received.value(), Some(object));
        assert!(!format!("{received:?}").contains("social.example"));
    }
}
