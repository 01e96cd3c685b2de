//! Google's own form of a schema as JSON Schema.
//!
//! It is nearly the same: types are written in capitals, `nullable` stands for a second type, bounds
//! may be texts, and `propertyOrdering` has no counterpart. What is carried keeps its order.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json::{Array, Json, Object, Str, array, members, object};

/// The schema as JSON Schema. One that cannot be read is carried as it is.
pub(super) fn to_json_schema(schema: &RawValue) -> Json<'_> {
    let mut out = Vec::with_capacity(schema.get().len() + 16);
    write_value(schema.get(), &mut out);
    let json = String::from_utf8(out).unwrap_or_default();
    RawValue::from_string(json).map_or(Cow::Borrowed(schema), Cow::Owned)
}

/// A schema, a list of schemas, or a value that is carried.
fn write_value(json: &str, out: &mut Vec<u8>) {
    if let Ok(all) = members(json) {
        object(out, |schema| write_schema(&all, schema));
    } else if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(json) {
        array(out, |items: &mut Array<'_>| {
            for item in list {
                items.with(|out| write_value(item.get(), out));
            }
        });
    } else {
        out.extend_from_slice(json.as_bytes());
    }
}

fn write_schema(all: &[(Str<'_>, &RawValue)], schema: &mut Object<'_>) {
    let is_nullable = all
        .iter()
        .any(|(name, value)| &**name == "nullable" && value.get() == "true");
    for (name, value) in all {
        match &**name {
            "nullable" | "propertyOrdering" | "property_ordering" => {}
            "type" => {
                let kind = value.get().to_ascii_lowercase();
                if is_nullable && kind.starts_with('"') {
                    schema.member(name, |out| {
                        out.extend_from_slice(format!("[{kind},\"null\"]").as_bytes());
                    });
                } else {
                    schema.member(name, |out| out.extend_from_slice(kind.as_bytes()));
                }
            }
            "properties" | "defs" | "$defs" => schema.member(name, |out| {
                let Ok(properties) = members(value.get()) else {
                    return out.extend_from_slice(value.get().as_bytes());
                };
                object(out, |object| {
                    for (name, value) in &properties {
                        object.member(name, |out| write_value(value.get(), out));
                    }
                });
            }),
            "items" | "anyOf" | "any_of" | "additionalProperties" => {
                let name = if &**name == "any_of" { "anyOf" } else { name };
                schema.member(name, |out| write_value(value.get(), out));
            }
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties"
            | "maxProperties" => {
                let bound = value.get().trim_matches('"');
                schema.member(name, |out| out.extend_from_slice(bound.as_bytes()));
            }
            _ => schema.member(name, |out| out.extend_from_slice(value.get().as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(schema: &str) -> String {
        let schema = serde_json::from_str(schema).unwrap();
        to_json_schema(schema).get().to_owned()
    }

    #[test]
    fn types_are_written_small_and_the_order_is_kept() {
        let schema = r#"{"type":"OBJECT","properties":{"z":{"type":"STRING","enum":["OBJECT"]},"a":{"type":"ARRAY","items":{"type":"INTEGER"},"minItems":"1"}},"propertyOrdering":["z","a"],"required":["z"]}"#;
        assert_eq!(
            translated(schema),
            r#"{"type":"object","properties":{"z":{"type":"string","enum":["OBJECT"]},"a":{"type":"array","items":{"type":"integer"},"minItems":1}},"required":["z"]}"#
        );
    }

    #[test]
    fn what_may_be_null_has_two_types() {
        assert_eq!(
            translated(r#"{"nullable":true,"anyOf":[{"type":"NUMBER","nullable":true}]}"#),
            r#"{"anyOf":[{"type":["number","null"]}]}"#
        );
    }

    #[test]
    fn what_is_no_schema_is_carried_as_it_is() {
        for value in ["true", r#"{"properties":7}"#, "[]", "\"OBJECT\""] {
            assert_eq!(translated(value), value);
        }
    }
}
