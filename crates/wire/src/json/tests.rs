use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[test]
fn objects_pass_however_they_are_written() {
    for text in [
        "{}",
        " \r\n{ }\t",
        r#"{"a":[],"b":[{}],"c":{"d":[1,-2.5e+3,true,false,null]}}"#,
        "{ \"a\" : \"\\\"}\\\\\" ,\n\"\":\"\u{fc}\" }",
        // Written by Python, read by Python.
        r#"{"logprob":-Infinity,"top":[NaN,Infinity]}"#,
    ] {
        assert!(is_json_object(text.as_bytes()), "{text}");
    }
}

#[test]
fn what_a_parser_would_choke_on_does_not_pass() {
    for text in [
        "",
        "[]",
        "7",
        "null",
        "[DONE]",
        "{",
        "{}}",
        "{} {}",
        "{]",
        r#"{"a":[}]"#,
        r#"{"a":[1,]}"#,
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        r#"{"a":}"#,
        "{a:1}",
        r#"{"a":1 "b":2}"#,
        r#"{"a":tru}"#,
        r#"{"a":-}"#,
        r#"{"a":"b}"#,
        r#"{"a":"b\"}"#,
        "<html></html>",
        "upstream connect error",
    ] {
        assert!(!is_json_object(text.as_bytes()), "{text}");
    }
    assert!(!is_json_object(b"{\"a\":\"\xff\"}"), "no UTF-8");
    assert!(!is_json_object(b"{\"a\":\x00}"));
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert!(is_json_object(nested(JSON_DEPTH_MAX).as_bytes()));
    assert!(!is_json_object(nested(JSON_DEPTH_MAX + 1).as_bytes()));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_an_object_to_a_strict_parser_passes(value in any_value(), pretty in any::<bool>()) {
        let object = json!({ "value": value });
        let text = if pretty {
            serde_json::to_string_pretty(&object).unwrap()
        } else {
            object.to_string()
        };
        prop_assert!(is_json_object(text.as_bytes()), "{text}");
    }

    #[test]
    fn an_object_that_is_cut_off_never_passes(value in any_value(), at in any::<prop::sample::Index>()) {
        let text = json!({ "value": value }).to_string();
        let cut = at.index(text.len());
        prop_assert!(!is_json_object(&text.as_bytes()[..cut]), "{text} cut at {cut}");
    }

    #[test]
    fn mutated_text_is_never_refused_if_a_strict_parser_takes_it(
        value in any_value(),
        at in any::<prop::sample::Index>(),
        byte in prop::sample::select(br#"{}[]",:0-. \"#.to_vec()),
    ) {
        let mut text = json!({ "value": value }).to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        if serde_json::from_slice::<serde_json::Map<String, Value>>(&text).is_ok() {
            prop_assert!(is_json_object(&text), "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn any_bytes_are_looked_at_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        _ = is_json_object(&bytes);
    }
}
