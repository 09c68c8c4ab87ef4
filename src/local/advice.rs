//! What to write instead, for the usual mistakes that the API server names in its own terms.

use crate::manifests::is_unrendered;

pub(super) const UNRENDERED: &str = "it seems to be an unrendered template or variable: render it first";

/// What to add to the API server's message about a field.
pub(super) fn advice(field: &str, message: &str) -> String {
    let write = |what: &str| format!("; write {what}");
    if message.ends_with("should have at least 1 items") {
        return form_of(field)
            .map_or_else(String::new, |form| format!("; name at least one, such as {form}"));
    }
    if let Some((_, value)) = message.split_once(": \"").filter(|_| message.starts_with("Invalid value: ")) {
        let value = value.split_once("\": ").map_or(value, |(value, _)| value);
        if is_unrendered(value) {
            return format!("; {UNRENDERED}");
        }
    }
    let Some((_, types)) = message.rsplit_once("must be of type ") else { return String::new() };
    let Some((wanted, found)) = types.split_once(": ") else { return String::new() };
    let form = form_of(field);
    match (wanted, found.trim_matches('"')) {
        ("boolean", _) => write("true or false, without quotes"),
        ("integer", "string") => write("a whole number, without quotes or separators"),
        ("integer", "number") | ("int32", "float64") => write("a whole number"),
        ("string", "null") => "; write a value, in quotes if it begins with #".to_owned(),
        ("string", "boolean" | "integer" | "number") => {
            text_of(field).map_or_else(|| "; put it in quotes".to_owned(), write)
        }
        ("array", _) => form.map_or_else(String::new, |form| write(&format!("a list, such as {form}"))),
        ("object", _) => form.map_or_else(String::new, |form| write(&format!("an object, such as {form}"))),
        _ => String::new(),
    }
}

/// The last part of a field's path, without an index.
pub(super) fn name_of(field: &str) -> &str {
    let name = field.rsplit('.').next().unwrap_or(field);
    name.split('[').next().unwrap_or(name)
}

/// What a text is, if it is no number or boolean in quotes.
pub(super) fn text_of(field: &str) -> Option<&'static str> {
    Some(match name_of(field) {
        "interval" => "a duration, such as 24h",
        "since" | "publishedAt" => "a date and time, such as 2025-12-01T00:00:00Z",
        "recordId" => "the GUID of the record, such as 0f8fad5b-d9cb-469f-a165-70867728950e",
        "recordType" | "recordTypes" => "the logical name of the table, such as incident",
        _ => return None,
    })
}

/// An example of a list or an object.
pub(super) fn form_of(field: &str) -> Option<&'static str> {
    Some(match name_of(field) {
        "recordTypes" => "[incident]",
        "sources" => "[Twitter]",
        "keywords" | "excludeKeywords" => "[refund*, gift card]",
        "languages" => "[en]",
        "sentiments" => "[Negative]",
        "locations" => "[Germany]",
        "postTypes" => "[Post]",
        "contributors" => "[Audience]",
        "intentions" => "[Complaint]",
        "searchTopics" => "[delivery]",
        "include" | "exclude" if field.contains("authorTags") => "[vip]",
        "include" | "exclude" => "['@anna']",
        "tags" => "[vip]",
        "connectionRef" | "secretRef" => "{name: contoso}",
        "credentials" => "{secretRef: {name: contoso}}",
        "link" => "{}",
        "probe" => "{interval: 5m}",
        "refresh" => "{interval: 24h}",
        "match" => "{languages: [en]}",
        "reach" => "{min: 10}",
        "authors" => "{include: ['@anna']}",
        "authorTags" => "{include: [vip]}",
        "author" => "{name: Anna}",
        _ => return None,
    })
}
