//! The table that `make bench` prints at the end: each measurement adds its rows.

use std::fs::OpenOptions;
use std::io::Write as _;

/// The file of the table; `make bench` sets it.
const TABLE_VARIABLE: &str = "POSTLINK_BENCH_TABLE";

/// Adds a row: what was measured, in which unit or divided by what, and the value of each run.
pub fn row(what: &str, unit: &str, values: &[f64]) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let [least, middle, most] = [0, sorted.len() / 2, sorted.len() - 1].map(|n| written(sorted[n]));
    let line = format!("{what:<58} {unit:<34} {:>4} {least:>9} {middle:>9} {most:>9}", values.len());
    println!("{line}");
    if let Ok(path) = std::env::var(TABLE_VARIABLE) {
        let file = OpenOptions::new().append(true).open(&path);
        let mut file = file.unwrap_or_else(|error| panic!("{TABLE_VARIABLE}={path}: {error}"));
        writeln!(file, "{line}").expect("the file of the table is writable");
    }
}

fn written(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}
