//! The guide's table of rules is the one that is applied.

use keypool_translate::Api;
use keypool_translate::rules::{Field, Verdict};

/// The table as the guide has it: a row for each field, a column for each API that is written to.
fn table() -> String {
    let mut head = vec!["Field"];
    head.extend(Api::ALL.map(Api::name));
    head.push("What it is, or why it does not pass");
    let ruler = vec!["---"; head.len()].join("|");
    let mut table = format!("{}|{ruler}|\n", row(&head));
    for field in Field::ALL {
        let mut cells = vec![field.name()];
        cells.extend(Api::ALL.map(|api| match field.verdict(api) {
            Verdict::Carried => "carried",
            Verdict::Changed => "changed",
            Verdict::Dropped => "dropped",
            Verdict::Refused => "**refused**",
        }));
        cells.push(field.why());
        table.push_str(&row(&cells));
    }
    table
}

fn row(cells: &[&str]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

#[test]
fn the_guide_shows_every_rule_as_it_is_applied() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/translation.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let table = table();
    assert!(
        guide.contains(&table),
        "docs/translation.md has another table; it should be:\n\n{table}"
    );
}
