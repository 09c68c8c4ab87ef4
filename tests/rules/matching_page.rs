//! docs/matching.md: each row of its tables is true.

use crate::matching::matches;
use crate::matching_keywords::{Admission, refusals};
use serde_json::json;
use std::{fs, path::Path};

/// A cell that shows a text as code, with `\u{…}` for a character that is not seen.
fn shown(cell: &str) -> Option<String> {
    let code = cell.strip_prefix('`')?.strip_suffix('`')?;
    let mut parts = code.split("\\u{");
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (number, rest) = part.split_once('}')?;
        text.push(char::from_u32(u32::from_str_radix(number, 16).ok()?)?);
        text.push_str(rest);
    }
    Some(text)
}

/// What is wrong with the row of a table under this heading; `None` if it is true.
fn wrong(heading: &str, row: &[&str], admission: &Admission) -> Option<String> {
    let texts: Vec<String> = row.iter().map_while(|cell| shown(cell)).collect();
    let holds = match (heading, texts.as_slice()) {
        ("keyword", [keyword, text]) => {
            matches(&json!({"keywords": [keyword]}), &json!({"content": text})) && admission.admits(keyword)
        }
        ("excluded keyword", [keyword, text]) => {
            matches(&json!({"excludeKeywords": [keyword]}), &json!({"content": text}))
        }
        ("range", [range, language]) => {
            matches(&json!({"languages": [range]}), &json!({"language": language}))
        }
        ("refused keyword", [keyword, ..]) => {
            let refused = refusals(std::slice::from_ref(keyword)).len() == 1;
            return (!refused).then(|| format!("`{keyword}` is not refused"));
        }
        _ => return Some(format!("{row:?} under \"{heading}\" cannot be read")),
    };
    let says = match row[2] {
        "yes" => true,
        "no" => false,
        other => return Some(format!("{row:?}: {other:?} is neither yes nor no")),
    };
    (holds != says).then(|| format!("{row:?} is not true"))
}

#[test]
fn each_row_of_the_page_is_true() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/matching.md");
    let page = fs::read_to_string(page).unwrap();
    let admission = Admission::of_crd();
    let (mut heading, mut rows, mut found) = (String::new(), 0, Vec::new());
    for line in page.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if cells[0].starts_with('`') {
            rows += 1;
            found.extend(wrong(&heading, &cells, &admission));
        } else {
            cells[0].clone_into(&mut heading);
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(rows > 200, "only {rows} rows were read");
}

#[test]
fn untrue_rows_are_found() {
    let admission = Admission::of_crd();
    for (heading, row) in [
        ("keyword", ["`late`", "`so late`", "no"]),
        ("keyword", ["`late`", "`so early`", "yes"]),
        ("keyword", ["`late`", "`so late`", "maybe"]),
        ("keyword", ["`re*fund`", "`refund`", "yes"]),
        ("excluded keyword", ["`late`", "`so late`", "yes"]),
        ("range", ["`en-GB`", "`en`", "yes"]),
        ("refused keyword", ["`late`", "nothing", ""]),
        ("word", ["`late`", "`so late`", "yes"]),
    ] {
        assert!(wrong(heading, &row, &admission).is_some(), "{heading}: {row:?}");
    }
    assert_eq!(shown("`re\\u{ad}fund`").unwrap(), "re\u{ad}fund");
}
