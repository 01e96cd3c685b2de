//! Reading a JSON body field by field, so that every refusal names its field.
//!
//! What was sent is never repeated in a message: the value in the wrong place may be a key.

use keypool_pool::Edit;
use serde_json::{Map, Value};

use super::envelope::ApiError;
use crate::limits;

/// The fields of one JSON object. Each is taken once; [`Fields::finish`] refuses what is left.
#[derive(Debug)]
pub(super) struct Fields {
    path: String,
    left: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    /// The fields of `value`, which is found at `path` of the body (empty for the body itself).
    pub(super) fn of(value: Value, path: impl Into<String>) -> Result<Self, ApiError> {
        let path = path.into();
        match value {
            Value::Object(left) => Ok(Self {
                path,
                left,
                known: Vec::new(),
            }),
            _ if path.is_empty() => Err(ApiError::new(
                http::StatusCode::BAD_REQUEST,
                "invalid_body",
                "the body must be a JSON object",
            )),
            _ => Err(wrong(path, "must be an object")),
        }
    }

    /// A field as it is; `null` is as good as absent.
    pub(super) fn value(&mut self, name: &'static str) -> Option<Value> {
        self.raw(name).filter(|value| !value.is_null())
    }

    /// A text.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, ApiError> {
        self.value(name)
            .map(|value| self.as_text(name, value))
            .transpose()
    }

    /// A text that must be there and not be empty.
    pub(super) fn required_text(&mut self, name: &'static str) -> Result<String, ApiError> {
        match self.text(name)? {
            Some(text) if !text.trim().is_empty() => Ok(text),
            Some(_) => Err(wrong(self.at(name), "must not be empty")),
            None => {
                let message = format!("{} is required", self.at(name));
                Err(ApiError::field("missing_field", self.at(name), message))
            }
        }
    }

    /// A text of which `null` means that there shall be none.
    pub(super) fn text_edit(&mut self, name: &'static str) -> Result<Edit<String>, ApiError> {
        match self.raw(name) {
            None => Ok(Edit::Keep),
            Some(Value::Null) => Ok(Edit::Clear),
            Some(value) => self.as_label(name, value).map(Edit::Set),
        }
    }

    /// A text short enough to be shown everywhere.
    pub(super) fn label(&mut self, name: &'static str) -> Result<Option<String>, ApiError> {
        self.value(name)
            .map(|value| self.as_label(name, value))
            .transpose()
    }

    /// True or false.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<Option<bool>, ApiError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(wrong(self.at(name), "must be true or false")),
        }
    }

    /// A whole number from `least` to `most`.
    pub(super) fn whole(
        &mut self,
        name: &'static str,
        least: u64,
        most: u64,
    ) -> Result<Option<u64>, ApiError> {
        self.value(name)
            .map(|value| self.as_whole(name, &value, least, most))
            .transpose()
    }

    /// A whole number of which `null` means that there shall be none.
    pub(super) fn whole_edit(
        &mut self,
        name: &'static str,
        least: u64,
        most: u64,
    ) -> Result<Edit<u64>, ApiError> {
        match self.raw(name) {
            None => Ok(Edit::Keep),
            Some(Value::Null) => Ok(Edit::Clear),
            Some(value) => self.as_whole(name, &value, least, most).map(Edit::Set),
        }
    }

    /// A list of short texts.
    pub(super) fn labels(&mut self, name: &'static str) -> Result<Option<Vec<String>>, ApiError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let Value::Array(items) = value else {
            return Err(wrong(self.at(name), "must be a list of texts"));
        };
        if items.len() > limits::LABELS_PER_KEY {
            let message = format!("must have at most {} elements", limits::LABELS_PER_KEY);
            return Err(wrong(self.at(name), &message));
        }
        let label = |(index, item)| match item {
            Value::String(text) => checked_label(format!("{}[{index}]", self.at(name)), text),
            _ => Err(wrong(
                format!("{}[{index}]", self.at(name)),
                "must be a text",
            )),
        };
        items
            .into_iter()
            .enumerate()
            .map(label)
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// An object within; `null` is given as `Edit::Clear`.
    pub(super) fn object(&mut self, name: &'static str) -> Result<Edit<Self>, ApiError> {
        match self.raw(name) {
            None => Ok(Edit::Keep),
            Some(Value::Null) => Ok(Edit::Clear),
            Some(value) => Self::of(value, self.at(name)).map(Edit::Set),
        }
    }

    /// Refuses a field, which is known and may not be set here.
    pub(super) fn refuse(&mut self, name: &'static str, message: &str) -> Result<(), ApiError> {
        match self.value(name) {
            None => Ok(()),
            Some(_) => Err(ApiError::field("field_not_allowed", self.at(name), message)),
        }
    }

    /// Refuses what has not been taken.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        let Some(name) = self.left.keys().next() else {
            return Ok(());
        };
        let hint = match nearest(name, &self.known) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("known are: {}", self.known.join(", ")),
        };
        let field = join(&self.path, shown_name(name));
        Err(ApiError::field(
            "unknown_field",
            field,
            format!("unknown field; {hint}"),
        ))
    }

    /// The path of a field of this object.
    pub(super) fn at(&self, name: &str) -> String {
        join(&self.path, name)
    }

    fn raw(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.left.remove(name)
    }

    fn as_text(&self, name: &str, value: Value) -> Result<String, ApiError> {
        match value {
            Value::String(text) => Ok(text),
            _ => Err(wrong(self.at(name), "must be a text")),
        }
    }

    fn as_label(&self, name: &str, value: Value) -> Result<String, ApiError> {
        checked_label(self.at(name), self.as_text(name, value)?)
    }

    fn as_whole(&self, name: &str, value: &Value, least: u64, most: u64) -> Result<u64, ApiError> {
        match value.as_u64() {
            Some(number) if (least..=most).contains(&number) => Ok(number),
            _ => {
                let message = format!("must be a whole number from {least} to {most}");
                Err(wrong(self.at(name), &message))
            }
        }
    }
}

fn checked_label(path: String, text: String) -> Result<String, ApiError> {
    if text.trim().is_empty() {
        return Err(wrong(path, "must not be empty"));
    }
    if text.chars().count() > limits::LABEL_CHARS || text.chars().any(char::is_control) {
        let message = format!(
            "must have at most {} characters, none of control",
            limits::LABEL_CHARS
        );
        return Err(wrong(path, &message));
    }
    Ok(text)
}

fn wrong(path: String, message: &str) -> ApiError {
    let message = format!("{path} {message}");
    ApiError::field("invalid_field", path, message)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// A field's name if it looks like one: a key that was sent in a field's place must not come back.
fn shown_name(name: &str) -> &str {
    const LONGEST: usize = 24;
    let is_word = name.len() <= LONGEST && name.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_word { name } else { "(not shown)" }
}

fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    // A third of the letters: beyond it a suggestion is more often wrong than right.
    let farthest = (name.chars().count() / 3).max(1);
    let distance = |candidate: &str| {
        strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase())
    };
    known
        .iter()
        .map(|candidate| (distance(candidate), *candidate))
        .filter(|(distance, _)| *distance <= farthest)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::of(value, "").unwrap()
    }

    #[test]
    fn a_refusal_names_the_field_by_its_path() {
        let mut outer = fields(json!({"rateLimit": {"requestsPerMinute": 0}, "tags": ["a", 1]}));
        let Edit::Set(mut inner) = outer.object("rateLimit").unwrap() else {
            panic!("the object is there");
        };
        let error = inner.whole("requestsPerMinute", 1, 10).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("rateLimit.requestsPerMinute"));
        assert_eq!(
            error.message,
            "rateLimit.requestsPerMinute must be a whole number from 1 to 10"
        );
        assert_eq!(
            outer.labels("tags").unwrap_err().field.as_deref(),
            Some("tags[1]")
        );
        assert_eq!(
            outer.required_text("key").unwrap_err().code,
            "missing_field"
        );
    }

    #[test]
    fn an_unknown_field_is_refused_with_the_nearest_known_one() {
        let mut slip = fields(json!({"priorty": 5}));
        slip.whole("priority", 1, 100).unwrap();
        let error = slip.finish().unwrap_err();
        assert_eq!(error.code, "unknown_field");
        assert_eq!(error.field.as_deref(), Some("priorty"));
        assert_eq!(error.message, "unknown field; did you mean \"priority\"?");
    }

    #[test]
    fn what_was_sent_is_not_repeated() {
        // acceptance 86
        let secret = "sk-ant-api03-canary-0001";
        let mut misplaced = fields(json!({"priority": secret, "enabled": secret, secret: 1}));
        let errors = [
            misplaced.whole("priority", 1, 100).unwrap_err(),
            misplaced.flag("enabled").unwrap_err(),
            misplaced.finish().unwrap_err(),
        ];
        for error in errors {
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn null_is_absent_where_nothing_can_be_cleared_and_clears_where_something_can() {
        let mut nulls = fields(json!({"a": null, "b": null}));
        assert_eq!(nulls.flag("a").unwrap(), None);
        assert_eq!(nulls.text_edit("b").unwrap(), Edit::Clear);
        assert_eq!(nulls.text_edit("c").unwrap(), Edit::Keep);
        nulls.finish().unwrap();
    }
}
