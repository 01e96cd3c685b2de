//! The schema and the walker that holds files against it are held against each other.

use std::collections::BTreeSet;

use serde_json::Value;

use super::schema;

/// Keywords that the walker acts on, and those that only inform readers.
const UNDERSTOOD: [&str; 13] = [
    "$ref",
    "anyOf",
    "oneOf",
    "const",
    "type",
    "properties",
    "additionalProperties",
    "required",
    "items",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
];
const INFORMING: [&str; 7] = [
    "$schema",
    "$defs",
    "title",
    "description",
    "default",
    "format",
    "writeOnly",
];

#[test]
fn the_schema_uses_no_keyword_that_the_walker_does_not_understand() {
    let mut used = BTreeSet::new();
    collect_keywords(&schema(), &mut used);
    let known: BTreeSet<_> = UNDERSTOOD
        .iter()
        .chain(&INFORMING)
        .chain(&["minLength"])
        .map(|word| (*word).to_owned())
        .collect();
    assert_eq!(
        used.difference(&known).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
}

#[test]
fn every_field_is_described() {
    let mut undescribed = Vec::new();
    collect_undescribed(&schema(), "", &mut undescribed);
    assert_eq!(undescribed, Vec::<String>::new());
}

#[test]
fn whole_numbers_are_bounded_by_what_their_type_holds() {
    // `format` tells the type: serde refuses what does not fit it, so the schema has to as well.
    fn check(value: &Value) {
        if value["format"] == "uint32" || value["format"] == "uint8" || value["format"] == "uint16"
        {
            assert!(value["maximum"].is_u64(), "{value}");
        }
        match value {
            Value::Object(fields) => fields.values().for_each(check),
            Value::Array(elements) => elements.iter().for_each(check),
            _ => {}
        }
    }
    check(&schema());
}

#[test]
fn limits_are_bounded_as_the_pool_bounds_them() {
    let schema = schema();
    let limits = schema["$defs"]["RateLimitFile"]["properties"]
        .as_object()
        .unwrap();
    for (name, limit) in limits.iter().filter(|(name, _)| *name != "maxConcurrent") {
        assert_eq!(limit["maximum"], keypool_pool::bounds::LIMIT_MAX, "{name}");
    }
}

fn collect_keywords(schema: &Value, used: &mut BTreeSet<String>) {
    let Value::Object(keywords) = schema else {
        return;
    };
    for (keyword, value) in keywords {
        used.insert(keyword.clone());
        match (keyword.as_str(), value) {
            ("properties" | "$defs", Value::Object(named)) => {
                for schema in named.values() {
                    collect_keywords(schema, used);
                }
            }
            ("anyOf" | "oneOf", Value::Array(several)) => {
                for schema in several {
                    collect_keywords(schema, used);
                }
            }
            ("items" | "additionalProperties", schema) => collect_keywords(schema, used),
            _ => {}
        }
    }
}

fn collect_undescribed(schema: &Value, at: &str, undescribed: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if !field["description"].is_string() {
            undescribed.push(format!("{at}.{name}"));
        }
    }
    for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
        collect_undescribed(definition, name, undescribed);
    }
}
