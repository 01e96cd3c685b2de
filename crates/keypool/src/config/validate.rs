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

use super::document::{Member, Node, NodeValue, Position};
use super::path::{FieldPath, Segment, shown_name};
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
        path: FieldPath::default(),
        problems: Vec::new(),
    };
    let value = walker.visit(schema, root);
    Validated {
        value,
        problems: walker.problems,
    }
}

/// The schema of what no schema describes.
static ANYTHING: Value = Value::Bool(true);

struct Walker<'s> {
    root: &'s Value,
    /// Where the walk is.
    path: FieldPath,
    problems: Vec<Problem>,
}

impl<'s> Walker<'s> {
    /// The value as far as it fits; `None` if it does not.
    fn visit(&mut self, schema: &'s Value, node: &Node) -> Option<Value> {
        let schema = resolve(self.root, schema);
        if let Some(alternatives) = schema.get("anyOf").and_then(Value::as_array) {
            // Of the generated form "this or null".
            if matches!(node.value, NodeValue::Null) {
                return Some(Value::Null);
            }
            let inner = alternatives.iter().find(|one| types(one) != ["null"])?;
            return self.visit(inner, node);
        }
        if let Some(allowed) = allowed_values(schema) {
            return self.visit_choice(schema, &allowed, node);
        }
        let types = types(schema);
        if !types.is_empty() && !types.iter().any(|name| has_type(&node.value, name)) {
            return self.misfit(schema, node);
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
            NodeValue::Number(_) | NodeValue::String(_) => self.misfit(schema, node),
            NodeValue::Array(elements) => self.visit_array(schema, elements, node),
            NodeValue::Object(members) => self.visit_object(schema, members, node),
        }
    }

    fn visit_choice(&mut self, schema: &Value, allowed: &[&str], node: &Node) -> Option<Value> {
        let Some(text) = node.as_str() else {
            return self.misfit(schema, node);
        };
        if allowed.contains(&text) {
            return Some(Value::String(text.to_owned()));
        }
        let hint = did_you_mean(text, allowed.iter().copied());
        let expected = expected(self.root, schema);
        let message = format!(
            "{} is not allowed: expected {expected}{hint}",
            shown(node, schema)
        );
        self.problem(node.at, message);
        None
    }

    fn visit_array(&mut self, schema: &'s Value, elements: &[Node], node: &Node) -> Option<Value> {
        let length = elements.len() as u64;
        let bound = |keyword| schema.get(keyword).and_then(Value::as_u64);
        if bound("minItems").is_some_and(|least| length < least)
            || bound("maxItems").is_some_and(|most| length > most)
        {
            let expected = expected(self.root, schema);
            let message = format!("{length} elements are not allowed: expected {expected}");
            self.problem(node.at, message);
            return None;
        }
        let item = schema.get("items").unwrap_or(&ANYTHING);
        let mut visited = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            self.path.push(Segment::Index(index));
            visited.push(self.visit(item, element));
            self.path.pop();
        }
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
        schema: &'s Value,
        members: &[Member],
        node: &Node,
    ) -> Option<Value> {
        let mut whole = true;
        for name in required(schema) {
            if !members.iter().any(|member| member.name == name) {
                self.path.push(Segment::Field(name.to_owned()));
                self.problem(node.at, "is required and missing".to_owned());
                self.path.pop();
                whole = false;
            }
        }
        let mut kept = Map::new();
        for member in members {
            self.path.push(Segment::Field(member.name.clone()));
            let visited = match schema_of_member(schema, &member.name) {
                Some(member_schema) => self.visit(member_schema, &member.value),
                None => self.unknown_field(schema, member),
            };
            self.path.pop();
            match visited {
                Some(value) => drop(kept.insert(member.name.clone(), value)),
                None => whole &= required(schema).all(|name| name != member.name),
            }
        }
        whole.then_some(Value::Object(kept))
    }

    fn unknown_field(&mut self, schema: &Value, member: &Member) -> Option<Value> {
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
        self.problem(member.name_at, message);
        None
    }

    /// Where a field of exactly this name belongs, if it is one of the pool's or of a key's.
    fn home_of(&self, name: &str) -> Option<&'static str> {
        const HOMES: [(&str, &str); 7] = [
            ("PoolFile", "ApiKeyPool"),
            ("QueueFile", "ApiKeyPool.queue"),
            ("AffinityFile", "ApiKeyPool.affinity"),
            ("PoolProviderFile", "ApiKeyPool.providers.<name>"),
            ("KeyFile", "ApiKeyPool.providers.<name>.keys[]"),
            (
                "RateLimitFile",
                "ApiKeyPool.providers.<name>.keys[].rateLimit",
            ),
            ("TenantFile", "Tenants[]"),
        ];
        let definitions = self.root.get("$defs");
        let knows = |definition: &str| {
            let fields = definitions.and_then(|all| all.get(definition)?.get("properties"));
            fields.is_some_and(|fields| fields.get(name).is_some())
        };
        HOMES
            .into_iter()
            .find(|(definition, _)| knows(definition))
            .map(|(_, home)| home)
    }

    fn misfit(&mut self, schema: &Value, node: &Node) -> Option<Value> {
        let expected = expected(self.root, schema);
        let message = format!(
            "{} is not allowed: expected {expected}",
            shown(node, schema)
        );
        self.problem(node.at, message);
        None
    }

    fn problem(&mut self, at: Position, message: String) {
        self.problems
            .push(Problem::new(at, self.path.clone(), message));
    }
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    let names = schema.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str)
}

/// The schema of a field, or `None` when there is no such field.
fn schema_of_member<'s>(schema: &'s Value, name: &str) -> Option<&'s Value> {
    let named = schema.get("properties").and_then(|fields| fields.get(name));
    let others = match schema.get("additionalProperties") {
        None => Some(&ANYTHING),
        Some(Value::Bool(false)) => None,
        Some(others) => Some(others),
    };
    named.or(others)
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
