//! Accepted differences between the in-memory API and a real server, with reasons. Each must still exist.

/// One difference in one answer.
#[derive(Debug)]
pub struct Known {
    pub case: &'static str,
    /// The step, counted from 1.
    pub step: usize,
    /// A prefix of the path in the answer. `code` stands for an entirely different answer.
    pub at: &'static str,
    /// Why it is accepted.
    pub because: &'static str,
}

const fn known(case: &'static str, step: usize, at: &'static str, because: &'static str) -> Known {
    Known { case, step, at, because }
}

const PARSERS: &str =
    "the same fault at the same place in the words of another parser; code and reason are the same";
const OTHER_KIND: &str =
    "refused in both; only what is said beside it about an object of another kind differs";
const DUPLICATES: &str =
    "no client writes a field twice; our own reader of manifests refuses it before a request is made";
const COLLECTOR: &str =
    "there is no garbage collector here, as nothing owns anything: the object goes at once";
const OWNERS: &str = "owner references own nothing here; only that their four fields are there is checked";
const TYPED_APPLY: &str =
    "a value of the wrong type is refused in both: here by the schema, with the words of every other write";
const APPLIED_NULL: &str = "an applied null or emptied object reaches a server's schema as null, a quirk of its merge; here it is as absent";
const CORE_EVENTS: &str = "events are kept in the shape of events.k8s.io, which is what we write; their bookkeeping names those fields";
const TOKENS: &str = "a token request is not stored, so its managed fields are never read";
const TYPED_PATCH: &str =
    "the object is quoted in the order of Go's struct fields; the fault behind it is the same";

pub const KNOWN: &[Known] = &[
    known(
        "a Secret is validated",
        14,
        "warnings",
        "certificates are looked at when they are used, not when they are stored",
    ),
    known(
        "a namespace",
        11,
        "body.metadata",
        "an empty list of the namespace's own finalizers has its writer as manager; no client may change it anyway",
    ),
    known("an event written through the core group", 1, "body.metadata.managedFields", CORE_EVENTS),
    known("an event written through the core group", 1, "body.reporting", CORE_EVENTS),
    known("an event written through the core group", 2, "body.metadata.managedFields", CORE_EVENTS),
    known("a service account and its tokens", 4, "body.metadata.managedFields", TOKENS),
    known("a service account and its tokens", 7, "body.metadata.managedFields", TOKENS),
    known(
        "a service account and its tokens",
        7,
        "body.spec.audiences",
        "the issuer is named after the server",
    ),
    known("what is immutable stays", 6, "warnings", OTHER_KIND),
    known("a body of another kind is refused", 1, "warnings", OTHER_KIND),
    known("a body of another kind is refused", 4, "warnings", OTHER_KIND),
    known("a body of another kind is refused", 6, "body.message", OTHER_KIND),
    known("a body of another kind is refused", 8, "code", OTHER_KIND),
    known("a body of another kind is refused", 9, "body.message", OTHER_KIND),
    known("identity cannot be patched", 12, "warnings", OTHER_KIND),
    known("a body that is no JSON is refused", 2, "body.message", PARSERS),
    known("a body that is no JSON is refused", 3, "body.message", PARSERS),
    known("a body that is no JSON is refused", 4, "body.message", PARSERS),
    known("a body that is no JSON is refused", 8, "body.message", PARSERS),
    known("YAML is spoken, and JSON of any spelling", 3, "body.message", PARSERS),
    known("the options of a delete are checked", 5, "body.message", PARSERS),
    known("a continue token is checked", 4, "body.message", PARSERS),
    known("a field given twice counts as given last, and is told", 1, "warnings", DUPLICATES),
    known("a field given twice counts as given last, and is told", 2, "code", DUPLICATES),
    known("a deletion in the foreground waits for the garbage collector", 2, "body", COLLECTOR),
    known("a deletion that orphans waits for the garbage collector", 2, "body", COLLECTOR),
    known("owners are judged", 4, "code", OWNERS),
    known("owners are judged", 5, "code", OWNERS),
    known("owners are judged", 6, "code", OWNERS),
    known("owners are judged", 7, "", OWNERS),
    known("an object whose fields are no longer applied but which is", 2, "code", APPLIED_NULL),
    known("nulls, empty maps and empty lists are applied", 2, "code", APPLIED_NULL),
    known("an apply refuses fields the schema does not know", 6, "body.message", TYPED_APPLY),
    known("an apply refuses fields the schema does not know", 7, "code", TYPED_APPLY),
    known("an apply refuses fields the schema does not know", 8, "code", TYPED_APPLY),
    known("unknown fields of built-in kinds", 6, "body", TYPED_PATCH),
];
