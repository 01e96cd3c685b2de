//! Sentences about schemas and values: what was expected, and what was found instead.

use keypool_gateway::Secret;
use serde_json::Value;

use super::document::{Node, NodeValue};

/// Longest text that is shown as it is where it does not belong; a longer one may be a key.
const LONGEST_SHOWN: usize = 11;

/// How many times as long as the longest word allowed a text may be and still be shown where one was
/// expected: a slip is about as long as what was meant, and what is much longer may be a key.
const WORD_FACTOR: usize = 2;

/// Follows a reference to a named schema.
#[must_use]
pub(super) fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema.get("$ref").and_then(Value::as_str);
    let target = reference
        .and_then(|to| to.strip_prefix('#'))
        .and_then(|to| root.pointer(to));
    target.unwrap_or(schema)
}

/// The types a schema allows; none means any.
#[must_use]
pub(super) fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The words a schema allows, if it is a choice of words.
#[must_use]
pub(super) fn allowed_values(schema: &Value) -> Option<Vec<&str>> {
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return Some(words.iter().filter_map(Value::as_str).collect());
    }
    let choices = schema.get("oneOf").and_then(Value::as_array)?;
    let mut words = Vec::new();
    for choice in choices {
        match choice.get("const").and_then(Value::as_str) {
            Some(word) => words.push(word),
            None => words.extend(allowed_values(choice)?),
        }
    }
    Some(words)
}

/// What a schema allows, in words.
#[must_use]
pub(super) fn expected(root: &Value, schema: &Value) -> String {
    let schema = resolve(root, schema);
    if let Some(words) = allowed_values(schema) {
        let quoted: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
        return format!("one of {}", quoted.join(", "));
    }
    // Null stands for leaving a field out: nothing that anyone needs to be told to write.
    let types = types(schema).into_iter().filter(|name| *name != "null");
    let named: Vec<_> = types
        .map(|name| expected_type(root, schema, name))
        .collect();
    named.join(" or ")
}

fn expected_type(root: &Value, schema: &Value, name: &str) -> String {
    match name {
        "integer" => format!("a whole number{}", range(schema)),
        "number" => format!("a number{}", range(schema)),
        "boolean" => "true or false".to_owned(),
        "string" if schema.get("minLength").is_some() => "a text that is not empty".to_owned(),
        "string" => "a text".to_owned(),
        "array" => {
            let items = schema
                .get("items")
                .map(|item| expected(root, item))
                .unwrap_or_default();
            let of = if items == "an object" {
                " of objects"
            } else {
                ""
            };
            format!("a list{of}{}", lengths(schema))
        }
        "object" => "an object".to_owned(),
        other => other.to_owned(),
    }
}

fn range(schema: &Value) -> String {
    let bound = |keyword| {
        Some(
            schema
                .get(keyword)?
                .to_string()
                .trim_end_matches(".0")
                .to_owned(),
        )
    };
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(" of at least {least}"),
        (None, Some(most)) => format!(" of at most {most}"),
        (None, None) => String::new(),
    }
}

fn lengths(schema: &Value) -> String {
    match (schema.get("minItems"), schema.get("maxItems")) {
        (Some(least), Some(most)) => format!(" of {least} to {most} elements"),
        (Some(least), None) => format!(" of at least {least} elements"),
        (None, Some(most)) => format!(" of at most {most} elements"),
        (None, None) => String::new(),
    }
}

/// What was found, fit to be printed: a secret is masked, and so is whatever may be one.
#[must_use]
pub(super) fn shown(node: &Node, schema: &Value) -> String {
    let is_secret = schema
        .get("writeOnly")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    match &node.value {
        NodeValue::String(text) if is_secret && !text.is_empty() => Secret::new(text).mask(),
        NodeValue::String(text) => shown_text(text, schema),
        NodeValue::Number(number) if !is_secret => number.to_string(),
        NodeValue::Bool(flag) => flag.to_string(),
        other => other.kind().to_owned(),
    }
}

fn shown_text(text: &str, schema: &Value) -> String {
    if text.is_empty() {
        return "an empty text".to_owned();
    }
    let types = types(schema);
    if types.iter().any(|name| matches!(*name, "object" | "array")) {
        // Keys written as plain texts where objects are expected are the likely case.
        return "a text".to_owned();
    }
    let words = allowed_values(schema).unwrap_or_default();
    let longest_word = words.iter().map(|word| word.len()).max().unwrap_or(0);
    let longest = LONGEST_SHOWN.max(WORD_FACTOR * longest_word);
    let is_word = text.chars().count() <= longest && super::path::shown_name(text) == text;
    if is_word {
        format!("{text:?}")
    } else {
        format!("{:?}", Secret::new(text).mask())
    }
}
