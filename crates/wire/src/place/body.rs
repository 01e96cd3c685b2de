//! Bodies that a place wants other than they are.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The body without some of its members and with others. The members that stay are written byte for byte
/// as they came. What is no JSON object is handed back as it is.
pub(super) fn with_members(body: &Bytes, without: &[&str], with: &[(&str, Value)]) -> Bytes {
    let Some(members) = members(body) else {
        return body.clone();
    };
    let mut out = Vec::with_capacity(body.len() + 256);
    let mut put = |name: &str, value: &str| {
        out.push(if out.is_empty() { b'{' } else { b',' });
        out.extend_from_slice(Value::from(name).to_string().as_bytes());
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
    };
    for (name, value) in &members {
        if !without.contains(&name.as_str()) {
            put(name, value.get());
        }
    }
    for (name, value) in with {
        put(name, &value.to_string());
    }
    if out.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
    out.into()
}

fn members(body: &[u8]) -> Option<Vec<(String, &RawValue)>> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(name) = map.next_key::<String>()? {
                members.push((name, map.next_value()?));
            }
            Ok(members)
        }
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    json.deserialize_map(Members).ok()
}
