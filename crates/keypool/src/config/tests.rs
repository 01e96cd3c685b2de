//! The schema and the walker that holds files against it are held against each other.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::document::parse;
use super::file::ConfigFile;
use super::schema;
use super::validate::validate;

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
fn whatever_is_left_after_the_walk_can_be_read() {
    let schema = schema();
    let everything = include_str!("../../tests/fixtures/everything.json5");
    let whole = validate(&schema, &parse(everything).ok().unwrap())
        .value
        .unwrap();
    let mut pointers = Vec::new();
    collect_pointers(&whole, String::new(), &mut pointers);
    assert!(pointers.len() > 100, "the file has every field");
    let probes = json!([
        null, true, 0, -1, 1.5, 1e300, u64::MAX, 70_000, "", "x", [], {}, [null], {"x": {}}
    ]);
    for pointer in pointers {
        for probe in probes.as_array().unwrap() {
            let mut changed = whole.clone();
            *changed.pointer_mut(&pointer).unwrap() = probe.clone();
            let root = parse(&changed.to_string()).ok().unwrap();
            let validated = validate(&schema, &root);
            assert_eq!(
                validated.value.is_none(),
                pointer.is_empty() && !probe.is_object()
            );
            if let Some(value) = validated.value {
                let read = serde_json::from_value::<ConfigFile>(value);
                assert!(read.is_ok(), "{pointer} = {probe}: {:?}", read.err());
            }
        }
    }
}

#[test]
fn the_file_with_everything_has_every_field() {
    let everything = include_str!("../../tests/fixtures/everything.json5");
    let schema = schema();
    let definitions = schema["$defs"].as_object().unwrap().values();
    for definition in definitions.chain([&schema]) {
        for name in definition["properties"]
            .as_object()
            .into_iter()
            .flat_map(|named| named.keys())
        {
            assert!(everything.contains(name.as_str()), "{name} is missing");
        }
    }
}

#[test]
fn no_beginning_of_a_file_makes_the_reader_panic() {
    let everything = include_str!("../../tests/fixtures/everything.json5");
    for (end, _) in everything.char_indices() {
        // The last line ends with the brace that makes it whole.
        assert!(parse(&everything[..end]).is_err() || everything[end..].trim().is_empty());
    }
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
    let concurrent = &limits["maxConcurrent"]["maximum"];
    assert_eq!(concurrent, keypool_pool::bounds::CONCURRENT_MAX);
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

fn collect_pointers(value: &Value, at: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                collect_pointers(field, format!("{at}/{name}"), pointers);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                collect_pointers(element, format!("{at}/{index}"), pointers);
            }
        }
        _ => {}
    }
    pointers.push(at);
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
