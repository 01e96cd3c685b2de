//! Fields that are read and checked, and that nothing acts on. One table, so that a person who relies on
//! one learns it from `keypool check` and not from an outage.

use super::checker::Checker;
use super::file::ConfigFile;
use super::path::FieldPath;

/// Fields by path, and what they would steer.
const FIELDS: [(&[&str], &str); 1] = [(
    &["NON_INTERACTIVE_MODE"],
    "the launcher of claude-code-router",
)];

/// Warns of each such field that the file sets.
pub(super) fn check(file: &ConfigFile, checker: &mut Checker<'_>) {
    for (fields, feature) in FIELDS {
        let field = FieldPath::of(fields);
        if checker.root.get(&field).is_some() {
            warn(checker, &field, feature);
        }
    }
    for (index, provider) in file.providers.iter().enumerate() {
        if provider
            .as_ref()
            .is_some_and(|provider| provider.transformer.is_some())
        {
            let field = FieldPath::of(&["Providers"])
                .index(index)
                .field("transformer");
            warn(checker, &field, "rewriting of requests");
        }
    }
}

fn warn(checker: &mut Checker<'_>, field: &FieldPath, feature: &str) {
    checker.warn(field, format!("accepted, not yet in effect: {feature}"));
}
