//! The configuration file as a tree in which every value knows its line and column, so that an error
//! found late (a key that stands twice, an unset variable) can still say where.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use jsonc_parser::ast::{ObjectProp, ObjectPropName, Value};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::Number;

use super::path::{FieldPath, Segment, shown_name};
use super::problem::Problem;

/// The dialect of JSON that is read: JSON5 without `Infinity` and `NaN`, which no field takes. A
/// missing comma is an error, since it is more often a slip than a style.
const DIALECT: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_loose_object_property_names: true,
    allow_trailing_commas: true,
    allow_missing_commas: false,
    allow_single_quoted_strings: true,
    allow_hexadecimal_numbers: true,
    allow_unary_plus_numbers: true,
    allow_bare_decimal_point_numbers: true,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: true,
};

/// Largest whole number that a decimal literal such as `1e3` stands for exactly.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// Line and column in the file, counted from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in that line.
    pub column: usize,
}

/// A value and where it begins.
#[derive(Clone)]
pub(super) struct Node {
    /// Where the value begins.
    pub(super) at: Position,
    /// The value.
    pub(super) value: NodeValue,
}

/// What a [`Node`] holds. Not printable: the strings may be secrets.
#[derive(Clone)]
pub(super) enum NodeValue {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number; whole ones are integers however they are written.
    Number(Number),
    /// A string.
    String(String),
    /// A list.
    Array(Vec<Node>),
    /// An object, in the order of the file.
    Object(Vec<Member>),
}

/// A field of an object.
#[derive(Clone)]
pub(super) struct Member {
    /// Its name.
    pub(super) name: String,
    /// Where the name stands.
    pub(super) name_at: Position,
    /// Its value.
    pub(super) value: Node,
}

/// Reads a text. Syntax stops at the first error, which nothing can be said beyond; fields that stand
/// twice are all reported.
pub(super) fn parse(text: &str) -> Result<Node, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = Lines::of(text);
    let tree = parse_to_ast(text, &CollectOptions::default(), &DIALECT).map_err(|error| {
        let message = format!("syntax: {}", lower_first(&error.kind().to_string()));
        vec![Problem::new(
            lines.position(error.range().start),
            FieldPath::default(),
            message,
        )]
    })?;
    let Some(tree) = tree.value else {
        let message = "the file is empty".to_owned();
        return Err(vec![Problem::new(
            lines.position(0),
            FieldPath::default(),
            message,
        )]);
    };
    let mut reader = Reader {
        lines: &lines,
        path: FieldPath::default(),
        problems: Vec::new(),
    };
    let root = reader.node(&tree);
    if reader.problems.is_empty() {
        Ok(root)
    } else {
        Err(reader.problems)
    }
}

impl Node {
    /// Where a path leads, or the nearest enclosing value that is there.
    #[must_use]
    pub(super) fn locate(&self, path: &FieldPath) -> Position {
        let mut node = self;
        for segment in path.segments() {
            match node.child(segment) {
                Some(child) => node = child,
                None => break,
            }
        }
        node.at
    }

    /// The value at a path.
    #[must_use]
    pub(super) fn get(&self, path: &FieldPath) -> Option<&Self> {
        path.segments()
            .iter()
            .try_fold(self, |node, segment| node.child(segment))
    }

    /// Names of the fields of the object at a path, in the order of the file.
    #[must_use]
    pub(super) fn names(&self, path: &FieldPath) -> Vec<String> {
        match self.get(path).map(|node| &node.value) {
            Some(NodeValue::Object(members)) => {
                members.iter().map(|member| member.name.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The string, if it is one.
    #[must_use]
    pub(super) fn as_str(&self) -> Option<&str> {
        match &self.value {
            NodeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value without its places.
    #[must_use]
    pub(super) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.value {
            NodeValue::Null => Value::Null,
            NodeValue::Bool(flag) => Value::Bool(*flag),
            NodeValue::Number(number) => Value::Number(number.clone()),
            NodeValue::String(text) => Value::String(text.clone()),
            NodeValue::Array(elements) => elements.iter().map(Self::to_json).collect(),
            NodeValue::Object(members) => {
                let members = members.iter();
                let members = members.map(|member| (member.name.clone(), member.value.to_json()));
                Value::Object(members.collect())
            }
        }
    }

    fn child(&self, segment: &Segment) -> Option<&Self> {
        match (segment, &self.value) {
            (Segment::Index(index), NodeValue::Array(elements)) => elements.get(*index),
            (Segment::Field(name), NodeValue::Object(members)) => members
                .iter()
                .find(|member| member.name == *name)
                .map(|member| &member.value),
            _ => None,
        }
    }
}

impl NodeValue {
    /// What kind of value it is, for a sentence.
    #[must_use]
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Copies the parser's tree, which borrows the text, and remembers what is wrong with it.
struct Reader<'a> {
    lines: &'a Lines<'a>,
    /// Where the reader is.
    path: FieldPath,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn node(&mut self, value: &Value<'_>) -> Node {
        let at = self.lines.position(start_of(value));
        let value = match value {
            Value::NullKeyword(_) => NodeValue::Null,
            Value::BooleanLit(literal) => NodeValue::Bool(literal.value),
            Value::StringLit(literal) => NodeValue::String(literal.value.clone().into_owned()),
            Value::NumberLit(literal) => match number(literal.value) {
                Some(number) => NodeValue::Number(number),
                None => self.unreadable_number(at),
            },
            Value::Array(array) => NodeValue::Array(self.elements(&array.elements)),
            Value::Object(object) => NodeValue::Object(self.members(&object.properties)),
        };
        Node { at, value }
    }

    fn elements(&mut self, values: &[Value<'_>]) -> Vec<Node> {
        let mut elements = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            self.path.push(Segment::Index(index));
            elements.push(self.node(value));
            self.path.pop();
        }
        elements
    }

    fn members(&mut self, properties: &[ObjectProp<'_>]) -> Vec<Member> {
        let mut seen = HashSet::with_capacity(properties.len());
        let mut members = Vec::with_capacity(properties.len());
        for property in properties {
            let (name, start) = match &property.name {
                ObjectPropName::String(literal) => (literal.value.as_ref(), literal.range.start),
                ObjectPropName::Word(literal) => (literal.value, literal.range.start),
            };
            let name_at = self.lines.position(start);
            self.path.push(Segment::Field(name.to_owned()));
            if seen.insert(name) {
                let value = self.node(&property.value);
                members.push(Member {
                    name: name.to_owned(),
                    name_at,
                    value,
                });
            } else {
                let message = format!("the field {:?} stands here twice", shown_name(name));
                self.problems
                    .push(Problem::new(name_at, self.path.clone(), message));
            }
            self.path.pop();
        }
        members
    }

    fn unreadable_number(&mut self, at: Position) -> NodeValue {
        let message = "the number is too large".to_owned();
        self.problems
            .push(Problem::new(at, self.path.clone(), message));
        NodeValue::Null
    }
}

/// Turns offsets into positions. Goes on from the last one asked for: a file of 100,000 keys on one line
/// would otherwise be counted through from its beginning for each of its values.
struct Lines<'a> {
    text: &'a str,
    last: Cell<(usize, Position)>,
}

const BEGINNING: (usize, Position) = (0, Position { line: 1, column: 1 });

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Self {
            text,
            last: Cell::new(BEGINNING),
        }
    }

    fn position(&self, offset: usize) -> Position {
        let (from, mut at) = if self.last.get().0 <= offset {
            self.last.get()
        } else {
            BEGINNING
        };
        for c in self.text.get(from..offset).unwrap_or("").chars() {
            if c == '\n' {
                at = Position {
                    line: at.line + 1,
                    column: 1,
                };
            } else {
                at.column += 1;
            }
        }
        self.last.set((offset, at));
        at
    }
}

fn start_of(value: &Value<'_>) -> usize {
    match value {
        Value::NullKeyword(value) => value.range.start,
        Value::BooleanLit(value) => value.range.start,
        Value::StringLit(value) => value.range.start,
        Value::NumberLit(value) => value.range.start,
        Value::Array(value) => value.range.start,
        Value::Object(value) => value.range.start,
    }
}

/// A number literal of JSON5: `1`, `+1`, `.5`, `5.`, `1e3`, `0x1F`.
fn number(literal: &str) -> Option<Number> {
    let (negative, digits) = match literal.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, literal.strip_prefix('+').unwrap_or(literal)),
    };
    let hexadecimal = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    let magnitude = match hexadecimal {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => digits.parse::<u64>().ok(),
    };
    match magnitude {
        Some(0) => Some(Number::from(0)),
        Some(magnitude) if !negative => Some(Number::from(magnitude)),
        Some(magnitude) => 0_i64.checked_sub_unsigned(magnitude).map(Number::from),
        None if hexadecimal.is_some() => None,
        None => decimal(digits.parse().ok()?, negative),
    }
}

fn decimal(magnitude: f64, negative: bool) -> Option<Number> {
    let value = if negative { -magnitude } else { magnitude };
    if value.fract() == 0.0 && magnitude < LARGEST_EXACT {
        // Whole and below 2^53: the text of the number is that of an integer.
        return format!("{value:.0}").parse::<i64>().ok().map(Number::from);
    }
    Number::from_f64(value)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number_text(literal: &str) -> Option<String> {
        number(literal).map(|number| number.to_string())
    }

    #[test]
    fn numbers_of_every_spelling_are_read() {
        for (literal, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("+7", "7"),
            ("0x1F", "31"),
            ("1e3", "1000"),
            ("1.0", "1"),
            (".5", "0.5"),
            ("-2.5", "-2.5"),
            ("18446744073709551615", "18446744073709551615"),
        ] {
            assert_eq!(number_text(literal).as_deref(), Some(expected), "{literal}");
        }
        assert_eq!(number_text("0xFFFFFFFFFFFFFFFFFF"), None);
        assert_eq!(number_text("1e999"), None);
    }

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let Ok(root) = parse("// naïve\n{\n  \"é\": { x: [1,\n    2] } }") else {
            panic!("the text is well-formed");
        };
        let path = FieldPath::of(&["é", "x"]);
        assert_eq!(root.locate(&path).to_string(), "3:13");
        assert_eq!(root.locate(&path.index(1)).to_string(), "4:5");
        assert_eq!(root.locate(&path.index(9)).to_string(), "3:13");
    }

    #[test]
    fn a_field_that_stands_twice_is_an_error_and_not_a_silent_choice() {
        let Err(problems) = parse("{\n \"a\": 1,\n 'a': 2, b: { c: 1, c: 2 } }") else {
            panic!("two fields stand twice");
        };
        let places: Vec<_> = problems.iter().map(|p| p.at.to_string()).collect();
        assert_eq!(places, ["3:2", "3:21"]);
    }

    #[test]
    fn a_syntax_error_says_where() {
        for (text, place) in [
            ("{ \"a\": 1 \"b\": 2 }", "1:9"),
            ("", "1:1"),
            ("{\n  a: [1, 2\n", "2:6"),
        ] {
            let Err(problems) = parse(text) else {
                panic!("{text} is malformed")
            };
            assert_eq!(problems[0].at.to_string(), place, "{text}");
        }
    }
}
