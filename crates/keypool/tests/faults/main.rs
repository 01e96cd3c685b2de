//! What happens when something goes wrong: one table, a row for each case and dialect, run over sockets
//! against the real binary. `docs/faults.md` is printed from the same rows.
//!
//! A row says what the keys meet at the simulated provider, and what must come of it: what the client
//! gets, what becomes of each key, how many attempts were made, and how long it may take. No key's secret
//! may show anywhere meanwhile: not in the answer, the log, the admin API or the metrics.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "clippy knows test functions, not the helpers beside them; a panic is a test's answer"
)]

mod check;
mod clouds;
mod meets;
mod page;
mod ports;
mod row;
mod run;
#[path = "../acceptance/support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with the acceptance tests, which use all of it"
)]
mod support;
mod table;

use row::Group;

/// Runs the rows of one group, so that each group is a test of its own.
macro_rules! groups {
    ($($test:ident: $group:ident),+ $(,)?) => {$(
        // acceptance 43, 44, 49, 57, 58, 59, 60, 86
        #[tokio::test]
        async fn $test() {
            run::all(table::rows().filter(|row| row.group() == Group::$group)).await;
        }
    )+};
}

groups! {
    a_key_that_is_refused: Refused,
    money_that_runs_out: Money,
    limits_that_are_reached: Limits,
    a_provider_that_fails: Failing,
    a_network_that_fails: Network,
    answers_that_are_none: Garbage,
    streams_that_break: Streams,
    answers_that_are_odd: Odd,
    requests_that_are_wrong: Client,
    trouble_with_every_key: Outage,
    ways_back: Recovery,
}

#[test]
fn the_table_has_a_row_for_each_case_and_dialect() {
    assert!(table::rows().count() >= 80, "{}", table::rows().count());
}

#[test]
fn no_two_rows_are_about_the_same() {
    let mut names: Vec<String> = table::rows().map(|row| row.name()).collect();
    names.sort();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before);
}

/// With `KEYPOOL_WRITE_DOCS` set, writes the page instead.
#[test]
fn the_page_for_operators_says_what_the_rows_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/faults.md");
    let page = page::page();
    if std::env::var_os("KEYPOOL_WRITE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page,
        "docs/faults.md is out of date; KEYPOOL_WRITE_DOCS=1 cargo test -p keypool --test faults page"
    );
}
