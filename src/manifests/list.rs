//! Expands a `List` into its objects, as kubectl does.

use serde_json::{Map, Value};

/// An object with the field `items` is a list, whatever its kind is; and a `List` without it is a mistake.
pub(super) fn is_list(fields: &Map<String, Value>) -> bool {
    fields.contains_key("items") || fields.get("kind").is_some_and(|kind| kind == "List")
}

/// The items of a list, or what is wrong with the list.
pub(super) fn items(
    mut fields: Map<String, Value>,
) -> Result<Vec<Result<Value, &'static str>>, &'static str> {
    let items = match fields.remove("items") {
        Some(Value::Array(items)) => items,
        Some(Value::Null) => Vec::new(),
        Some(_) => return Err("the items of a List must be a sequence"),
        None => return Err("the List has no items"),
    };
    let (kind, api_version) = (text(&fields, "kind"), text(&fields, "apiVersion"));
    if kind.is_empty() {
        return Err("the list has no kind");
    }
    if api_version.is_empty() {
        return Err("the list has no apiVersion");
    }
    let kind = kind.strip_suffix("List").unwrap_or(&kind);
    Ok(items.into_iter().map(|item| typed(item, kind, &api_version)).collect())
}

/// The API server leaves kind and apiVersion out of the items of a typed list, such as a `PostLinkList`.
fn typed(item: Value, kind: &str, api_version: &str) -> Result<Value, &'static str> {
    let Value::Object(mut fields) = item else { return Err(super::stream::NOT_AN_OBJECT) };
    if is_list(&fields) {
        return Err("kubectl does not read a list inside a list; move its items to the outer list");
    }
    if !kind.is_empty() && text(&fields, "kind").is_empty() && text(&fields, "apiVersion").is_empty() {
        fields.insert("kind".to_owned(), kind.into());
        fields.insert("apiVersion".to_owned(), api_version.into());
    }
    Ok(Value::Object(fields))
}

fn text(fields: &Map<String, Value>, name: &str) -> String {
    fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
