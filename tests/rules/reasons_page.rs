//! `docs/reasons.md` is generated from the reasons in the code; `POSTLINK_WRITE_DOCS=1` rewrites it.

use crate::generated_page::expect_current;
use postlink::api::{ConditionType, Reason};
use std::fmt::Write;

fn page() -> String {
    let mut text = String::from(
        "# Reasons\n\n\
         A condition of Postlink carries one of these words as its `reason`, and no other: alerts may match on them.\n\
         Messages are sentences for people, and may change. A § is a section of [semantics.md](semantics.md).\n\n\
         This page is generated: `POSTLINK_WRITE_DOCS=1 cargo test --test rules reasons_page`.\n\n\
         | reason | meaning |\n|---|---|\n",
    );
    for reason in Reason::ALL {
        let summary = reason.summary().split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "| `{reason}` | {} |", summary.replace('|', "\\|"));
    }
    text.push_str("\n## Conditions\n\nIn the order they stand in a status: ");
    let types: Vec<String> = ConditionType::ALL.iter().map(|t| format!("`{}`", t.as_str())).collect();
    let _ = writeln!(text, "{}.", types.join(", "));
    text
}

#[test]
fn reasons_page_is_current() {
    expect_current("reasons.md", &page(), "reasons_page");
}
