//! Holds a file against the JSON Schema of its types, so that every misfit is found in one pass, with its
//! place; serde alone stops at the first and knows no line.
//!
//! The walker understands exactly the keywords that the generated schema uses (a test holds it to that).
//! A general validator, the `jsonschema` crate, brings some forty crates with it for the keywords which
//! never occur here, and reports against values that have lost their line.
//!
//! What does not fit is cut out, so that the rest can still be read and checked for what a schema cannot
//! say. The places of the cuts are remembered: an error that follows from one is not worth a line.

use serde_json::{Map, Value};

use super::document::{Member, Node, NodeValue};
use super::path::{FieldPath, shown_name};
use super::problem::Problem;
use super::suggest::did_you_mean;
use super::wording::{allowed_values, expected, resolve, shown, types};

/// A file held against the schema.
pub(super) struct Validated {
    /// What fits, as plain JSON; `None` when nothing does. A misfit among the elements of a list of
    /// objects is null, so that the others keep their places.
    pub(super) value: Option<Value>,
    /// What does not fit.
    pub(super) problems: Vec<Problem>,
}

/// Holds a file against a schema.
#[must_use]
pub(super) fn validate(schema: &Value, root: &Node) -> Validated {
    let mut walker = Walker {
        root: schema,
        problems: Vec::new(),
    };
    let value = walker.visit(schema, root, &FieldPath::default());
    Validated {
        value,
        problems: walker.problems,
    }
}

struct Walker<'a> {
    root: &'a Value,
    problems: Vec<Problem>,
}

impl Walker<'_> {
    /// The value as far as it fits; `None` if it does not.
    fn visit(&mut self, schema: &Value, node: &Node, path: &FieldPath) -> Option<Value> {
        let schema = resolve(self.root, schema);
        if let Some(alternatives) = schema.get("anyOf").and_then(Value::as_array) {
            // Of the generated form "this or null".
            if matches!(node.value, NodeValue::Null) {
                return Some(Value::Null);
            }
            let inner = alternatives.iter().find(|one| types(one) != ["null"])?;
            return self.visit(inner, node, path);
        }
        if let Some(allowed) = allowed_values(schema) {
            return self.visit_choice(schema, &allowed, node, path);
        }
        let types = types(schema);
        if !types.is_empty() && !types.iter().any(|name| has_type(&node.value, name)) {
            return self.misfit(schema, node, path);
        }
        match &node.value {
            NodeValue::Null => Some(Value::Null),
            NodeValue::Bool(flag) => Some(Value::Bool(*flag)),
            NodeValue::Number(number) if in_range(schema, number) => {
                Some(Value::Number(number.clone()))
            }
            NodeValue::String(text) if is_long_enough(schema, text) => {
                Some(Value::String(text.clone()))
            }
            NodeValue::Number(_) | NodeValue::String(_) => self.misfit(schema, node, path),
            NodeValue::Array(elements) => self.visit_array(schema, elements, node, path),
            NodeValue::Object(members) => self.visit_object(schema, members, node, path),
        }
    }

    fn visit_choice(
        &mut self,
        schema: &Value,
        allowed: &[&str],
        node: &Node,
        path: &FieldPath,
    ) -> Option<Value> {
        let Some(text) = node.as_str() else {
            return self.misfit(schema, node, path);
        };
        if allowed.contains(&text) {
            return Some(Value::String(text.to_owned()));
        }
        let hint = did_you_mean(text, allowed.iter().copied());
        let message = format!(
            "{} is not allowed: expected {}{hint}",
            shown(node, schema),
            expected(self.root, schema)
        );
        self.problem(node, path, message)
    }

    fn visit_array(
        &mut self,
        schema: &Value,
        elements: &[Node],
        node: &Node,
        path: &FieldPath,
    ) -> Option<Value> {
        let length = elements.len() as u64;
        let bound = |keyword| schema.get(keyword).and_then(Value::as_u64);
        if bound("minItems").is_some_and(|least| length < least)
            || bound("maxItems").is_some_and(|most| length > most)
        {
            let message = format!(
                "{length} elements are not allowed: expected {}",
                expected(self.root, schema)
            );
            return self.problem(node, path, message);
        }
        let any = Value::Bool(true);
        let item = schema.get("items").unwrap_or(&any);
        let visited: Vec<_> = elements
            .iter()
            .enumerate()
            .map(|(index, element)| self.visit(item, element, &path.index(index)))
            .collect();
        let keeps_places = types(resolve(self.root, item)) == ["object"];
        if keeps_places {
            return Some(visited.into_iter().map(Option::unwrap_or_default).collect());
        }
        visited
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .map(Value::Array)
    }

    fn visit_object(
        &mut self,
        schema: &Value,
        members: &[Member],
        node: &Node,
        path: &FieldPath,
    ) -> Option<Value> {
        let mut whole = true;
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !members.iter().any(|member| member.name == name) {
                let message = "is required and missing".to_owned();
                self.problem::<()>(node, &path.field(name), message);
                whole = false;
            }
        }
        let mut kept = Map::new();
        for member in members {
            let field = path.field(&member.name);
            let visited = match schema_of_member(schema, &member.name) {
                Some(member_schema) => self.visit(&member_schema, &member.value, &field),
                None => self.unknown_field(schema, member, path),
            };
            match visited {
                Some(value) => drop(kept.insert(member.name.clone(), value)),
                None => whole &= !is_required(schema, &member.name),
            }
        }
        whole.then_some(Value::Object(kept))
    }

    fn unknown_field(
        &mut self,
        schema: &Value,
        member: &Member,
        path: &FieldPath,
    ) -> Option<Value> {
        let fields = schema.get("properties").and_then(Value::as_object);
        let names: Vec<&str> = fields
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        let mut hint = did_you_mean(&member.name, names.iter().copied());
        if hint.is_empty() {
            hint = match self.home_of(&member.name) {
                Some(home) => format!("; it belongs in {home}"),
                None => format!("; allowed here: {}", names.join(", ")),
            };
        }
        let message = format!("unknown field {:?}{hint}", shown_name(&member.name));
        self.problems.push(Problem::new(
            member.name_at,
            path.field(&member.name),
            message,
        ));
        None
    }

    /// Where a field of exactly this name belongs, if it is one of the pool's or of a key's.
    fn home_of(&self, name: &str) -> Option<&'static str> {
        const HOMES: [(&str, &str); 4] = [
            ("PoolFile", "ApiKeyPool"),
            ("PoolProviderFile", "ApiKeyPool.providers.<name>"),
            ("KeyFile", "ApiKeyPool.providers.<name>.keys[]"),
            (
                "RateLimitFile",
                "ApiKeyPool.providers.<name>.keys[].rateLimit",
            ),
        ];
        let knows = |definition: &str| {
            self.root
                .pointer(&format!("/$defs/{definition}/properties/{name}"))
                .is_some()
        };
        HOMES
            .into_iter()
            .find(|(definition, _)| knows(definition))
            .map(|(_, home)| home)
    }

    fn misfit<T>(&mut self, schema: &Value, node: &Node, path: &FieldPath) -> Option<T> {
        let message = format!(
            "{} is not allowed: expected {}",
            shown(node, schema),
            expected(self.root, schema)
        );
        self.problem(node, path, message)
    }

    fn problem<T>(&mut self, node: &Node, path: &FieldPath, message: String) -> Option<T> {
        self.problems
            .push(Problem::new(node.at, path.clone(), message));
        None
    }
}

/// The schema of a field, or `None` when there is no such field.
fn schema_of_member(schema: &Value, name: &str) -> Option<Value> {
    let named = schema.get("properties").and_then(|fields| fields.get(name));
    let others = match schema.get("additionalProperties") {
        None => Some(&Value::Bool(true)),
        Some(Value::Bool(false)) => None,
        Some(others) => Some(others),
    };
    named.or(others).cloned()
}

fn is_required(schema: &Value, name: &str) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_some_and(|names| names.iter().any(|required| required.as_str() == Some(name)))
}

fn has_type(value: &NodeValue, name: &str) -> bool {
    match value {
        NodeValue::Null => name == "null",
        NodeValue::Bool(_) => name == "boolean",
        NodeValue::Number(number) => {
            name == "number" || (name == "integer" && (number.is_u64() || number.is_i64()))
        }
        NodeValue::String(_) => name == "string",
        NodeValue::Array(_) => name == "array",
        NodeValue::Object(_) => name == "object",
    }
}

fn in_range(schema: &Value, number: &serde_json::Number) -> bool {
    let bound = |keyword| schema.get(keyword).and_then(Value::as_f64);
    let Some(number) = number.as_f64() else {
        return false;
    };
    bound("minimum").is_none_or(|least| number >= least)
        && bound("maximum").is_none_or(|most| number <= most)
}

fn is_long_enough(schema: &Value, text: &str) -> bool {
    let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
    text.chars().count() as u64 >= least
}
