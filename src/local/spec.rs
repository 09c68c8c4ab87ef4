//! What a cluster accepts in a `spec` although it is hardly meant: fields that are null, which the API server drops, and
//! unrendered templates in free text.

use super::{
    advice::{UNRENDERED, form_of, name_of},
    tree::Item,
};
use crate::manifests::{Document, is_unrendered};
use serde_json::Value;

/// What other people wrote.
const FREE: [&str; 2] = ["spec.post.title", "spec.post.content"];

pub(super) struct Finding {
    pub field: String,
    pub message: String,
    /// The object most likely does what its author means.
    pub harmless: bool,
}

pub(super) fn findings(item: &Item) -> Vec<Finding> {
    let mut found = Vec::new();
    if item.is_ours() {
        walk(item, "spec", &item.document.value["spec"], &mut found);
    }
    found
}

fn walk(item: &Item, field: &str, value: &Value, found: &mut Vec<Finding>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let field = format!("{field}.{name}");
                if value.is_null() {
                    found.push(null(&item.id.kind, &item.document, field));
                } else {
                    walk(item, &field, value, found);
                }
            }
        }
        // The API server refuses a null in a list.
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                walk(item, &format!("{field}[{index}]"), value, found);
            }
        }
        Value::String(text) if is_unrendered(text) && !FREE.contains(&field) => {
            found.push(Finding { field: field.to_owned(), message: UNRENDERED.to_owned(), harmless: false });
        }
        _ => {}
    }
}

/// A renderer writes null for an optional value that it does not have. But a post without `link` is not linked, and a rule
/// without filters links every post.
fn null(kind: &str, document: &Document, field: String) -> Finding {
    let text = field == "spec.post.content" || document.is_before_hashtag(&field);
    let filter = field == "spec.match" || field.starts_with("spec.match.");
    let link = kind == "PostLink" && field == "spec.link";
    let write = match form_of(&field) {
        _ if text => "put the text in quotes if it begins with #".to_owned(),
        Some(form) => format!("write {}: {form}", name_of(&field)),
        None => "write a value".to_owned(),
    };
    let message = format!("null counts as absent; {write}, or remove the field");
    Finding { field, message, harmless: !(text || filter || link) }
}
