//! Schemas and defaults that several fields share. A rule with a message says what to write and gives an example, where
//! `pattern` and `format` would only repeat themselves.

use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

/// `status.observedGeneration` before the first reconcile. For kstatus, an empty status is *Current*: a GitOps wave would
/// go on before the object was reconciled.
pub const NOT_OBSERVED: i64 = -1;

/// The default of `status.observedGeneration`.
pub(super) fn not_observed() -> i64 {
    NOT_OBSERVED
}

/// RFC 3339 without leap seconds. The format `date-time` of an API server also takes what the controller cannot decode, such
/// as ten digits of a fraction or a zone of +99:99.
const DATE_TIME: &str = concat!(
    "^([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))",
    "|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)",
    "[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$",
);

/// What Postlink writes, beside the format `date-time`, which judges the calendar.
const STATUS_TIME: &str = "^[0-8][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?Z$";

/// The canonical form of a UUID. The format `uuid` of an API server also takes some of the hyphens.
const UUID: &str = "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$";

const TABLE_NAME: &str = "^[a-z_][a-z0-9_]*$";

/// Duration in hours, minutes and seconds. The empty text is as if absent.
const DURATION: &str = "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$";

/// A host name, and a port up to 65535.
const INSTANCE_URL: &str = concat!(
    "^https://[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*",
    "(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?/?$",
);

/// The shape of a language tag (BCP 47). Many programs write `en_GB`.
const LANGUAGE: &str = "^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*$";
const LANGUAGE_MESSAGE: &str = "must be a language code, such as en, de or pt-BR";

/// That a list is not empty. As a filter, an empty list is none: a Helm value that is missing would let every post match.
pub(super) const NOT_EMPTY: &str = "size(self) > 0";
pub(super) const NOT_EMPTY_MESSAGE: &str =
    "must have at least one value; remove the field if it is not needed";

/// A text that is validated by CEL rules: their expressions and messages.
fn text(max_length: u32, rules: &[(String, &str)]) -> Schema {
    let rules: Vec<Value> =
        rules.iter().map(|(rule, message)| json!({"rule": rule, "message": message})).collect();
    schema(json!({"type": "string", "maxLength": max_length, "x-kubernetes-validations": rules}))
}

fn schema(value: Value) -> Schema {
    match value {
        Value::Object(map) => Schema::from(map),
        _ => Schema::default(),
    }
}

/// `self` has the form of a pattern, which must not contain `'` or `\`.
fn has_form(pattern: &str) -> String {
    format!("self.matches('{pattern}')")
}

/// A time that people write.
pub(super) fn date_time_schema(_: &mut SchemaGenerator) -> Schema {
    let message = "must be a date and time with a time zone, such as 2025-12-01T00:00:00Z";
    // At the end of the year 9999, a time zone may lead beyond what can be decoded.
    let late = ("!self.startsWith('9999')".to_owned(), "must be before the year 9999");
    text(256, &[(has_form(DATE_TIME), message), late])
}

/// A time in a status, which only Postlink writes.
pub(super) fn status_time_schema(_: &mut SchemaGenerator) -> Schema {
    schema(json!({"type": "string", "format": "date-time", "maxLength": 64, "pattern": STATUS_TIME}))
}

/// A UUID in a status, which only Postlink writes.
pub(super) fn uuid_schema(_: &mut SchemaGenerator) -> Schema {
    schema(json!({"type": "string", "format": "uuid", "maxLength": 36, "pattern": UUID}))
}

/// The id of a record. People take it from a page's address, or confuse it with the number of a case.
pub(super) fn record_id_schema(_: &mut SchemaGenerator) -> Schema {
    let message = "must be the GUID of the record, such as 0f8fad5b-d9cb-469f-a165-70867728950e; it follows id= in the address of the record's page";
    text(256, &[(format!("{} || {}", has_form(UUID), has_form("^[0-9A-Fa-f]{32}$")), message)])
}

/// The name of an object in the same namespace (a DNS-1123 subdomain).
pub(super) fn object_name_schema(_: &mut SchemaGenerator) -> Schema {
    let message = "must be the name of an object in this namespace: lowercase letters, digits, hyphens and dots, such as contoso";
    text(253, &[(has_form("^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"), message)])
}

const TABLE_NAME_MESSAGE: &str =
    "must be the logical name of a table, in lowercase and singular, such as incident (Case) or lead (Lead)";

/// A logical name, and not one of the words that people use for cases and leads. No custom table can have these: their
/// names have a prefix.
fn names_a_table() -> String {
    format!("{} && !(self in ['case', 'cases', 'incidents', 'leads'])", has_form(TABLE_NAME))
}

/// The logical name of a Dataverse table. The empty text is as if absent.
pub(super) fn optional_table_name_schema(_: &mut SchemaGenerator) -> Schema {
    text(128, &[(format!("self == '' || {}", names_a_table()), TABLE_NAME_MESSAGE)])
}

/// Logical names of Dataverse tables.
pub(super) fn table_names_schema(_: &mut SchemaGenerator) -> Schema {
    let item = text(128, &[(names_a_table(), TABLE_NAME_MESSAGE)]);
    schema(json!({"type": "array", "minItems": 1, "maxItems": 64, "items": item}))
}

/// The address of an instance. Another spelling of the same address is no change.
pub(super) fn instance_url_schema(_: &mut SchemaGenerator) -> Schema {
    let form = format!("{} && size(self) <= 256", has_form(INSTANCE_URL));
    let normal = |name: &str| format!("({name} + '/').lowerAscii().replace('//', '/').replace(':443/', '/')");
    let same = format!("!({form}) || {} == {}", normal("self"), normal("oldSelf"));
    text(
        2048,
        &[
            (
                form,
                "must be the address of the instance, with https:// and without a path, such as https://contoso.crm.dynamics.com",
            ),
            (same, "instanceUrl is immutable; create a new connection instead"),
        ],
    )
}

/// A duration.
pub(super) fn duration_schema(_: &mut SchemaGenerator) -> Schema {
    let message = "must be a duration in hours, minutes and seconds, such as 24h, 90m or 1h30m";
    text(64, &[(has_form(DURATION), message)])
}

/// That the interval of `self` is absent or not shorter than a duration. What is no duration is reported elsewhere.
pub(super) fn at_least(shortest: &str) -> String {
    format!(
        "!has(self.interval) || self.interval == '' || !self.interval.matches('{DURATION}') || duration(self.interval) >= duration('{shortest}')"
    )
}

/// The URL of a web page.
pub(super) fn page_url_schema(_: &mut SchemaGenerator) -> Schema {
    text(2048, &[(has_form(PAGE_URL), PAGE_URL_MESSAGE)])
}

/// The URL of a web page. The empty text is as if absent.
pub(super) fn optional_page_url_schema(_: &mut SchemaGenerator) -> Schema {
    text(2048, &[(format!("self == '' || {}", has_form(PAGE_URL)), PAGE_URL_MESSAGE)])
}

const PAGE_URL: &str = "^https?://[^[:space:]]+$";
const PAGE_URL_MESSAGE: &str = "must be a URL without spaces that begins with https:// or http://, such as https://social.example/posts/1";

/// A code of a language. The empty text is as if absent.
pub(super) fn language_schema(_: &mut SchemaGenerator) -> Schema {
    text(35, &[(format!("self == '' || {}", is_language()), LANGUAGE_MESSAGE)])
}

/// Ranges of languages.
pub(super) fn languages_schema(_: &mut SchemaGenerator) -> Schema {
    schema(json!({
        "type": "array", "maxItems": 64, "items": text(35, &[(is_language(), LANGUAGE_MESSAGE)]),
        "x-kubernetes-validations": [{"rule": NOT_EMPTY, "message": NOT_EMPTY_MESSAGE}],
    }))
}

/// Spaces around it are ignored.
fn is_language() -> String {
    format!("self.trim().matches('{LANGUAGE}')")
}

/// The id of a post.
pub(super) fn post_id_schema(_: &mut SchemaGenerator) -> Schema {
    text(160, &[(has_form("[^[:space:]]"), "must be the ID of the post, and not empty or only spaces")])
}

/// A reach score.
pub(super) fn reach_schema(_: &mut SchemaGenerator) -> Schema {
    schema(json!({
        "type": "integer", "format": "int32",
        "x-kubernetes-validations": [{
            "rule": "self >= 0 && self <= 100",
            "message": "must be from 0 to 100: reach is a score, not a number of followers",
        }],
    }))
}
