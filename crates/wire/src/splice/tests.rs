use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::dialect::Endpoint;
use crate::peek::peek;

fn spliced(body: &str, model: Option<&str>, inject_usage: bool) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let seen = peek(Endpoint::ChatCompletions, &body).unwrap();
    String::from_utf8(upstream_body(&body, &seen, model, inject_usage).to_vec()).unwrap()
}

#[test]
fn only_the_models_name_changes() {
    assert_eq!(
        spliced(
            r#"{ "n":1.0, "model" : "a,b" , "x":"\u0041" }"#,
            Some("b\"é"),
            false
        ),
        r#"{ "n":1.0, "model" : "b\"é" , "x":"\u0041" }"#
    );
}

#[test]
fn a_missing_model_is_added_at_the_end() {
    assert_eq!(
        spliced(r#"{"n":1}"#, Some("m"), false),
        r#"{"n":1,"model":"m"}"#
    );
    assert_eq!(spliced("{ }\n", Some("m"), false), "{ \"model\":\"m\"}\n");
}

#[test]
fn an_unchanged_body_is_the_same_memory() {
    let body = Bytes::from_static(br#"{"model":"m","stream":true}"#);
    let seen = peek(Endpoint::ChatCompletions, &body).unwrap();
    let same = upstream_body(&body, &seen, Some("m"), false);
    assert_eq!(same.as_ptr(), body.as_ptr());
}

#[test]
fn usage_is_asked_for_in_whatever_form_the_options_are() {
    for (body, expected) in [
        (
            r#"{"stream":true}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"stream_options": null,"stream":true}"#,
            r#"{"stream_options": {"include_usage":true},"stream":true}"#,
        ),
        (
            r#"{"stream_options":{ },"stream":true}"#,
            r#"{"stream_options":{"include_usage":true },"stream":true}"#,
        ),
        (
            r#"{"stream_options":{"x":[1]},"stream":true}"#,
            r#"{"stream_options":{"include_usage":true,"x":[1]},"stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_usage": false },"stream":true}"#,
            r#"{"stream_options":{"include_usage": true },"stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":null},"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":true},"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true}"#,
        ),
        (r#"{"stream":false}"#, r#"{"stream":false}"#),
    ] {
        assert_eq!(spliced(body, None, true), expected);
    }
}

#[test]
fn both_changes_fit_in_one_body() {
    assert_eq!(
        spliced(
            r#"{"stream_options":{},"stream":true,"model":"a"}"#,
            Some("bb"),
            true
        ),
        r#"{"stream_options":{"include_usage":true},"stream":true,"model":"bb"}"#
    );
    assert_eq!(
        spliced(r#"{"stream":true}"#, Some("m"), true),
        r#"{"stream":true,"model":"m","stream_options":{"include_usage":true}}"#
    );
}

prop_compose! {
    /// A body with white space, other members and the ones of interest in any order.
    fn arb_body()(
        gap in "[ \n\t]{0,3}",
        model in prop::option::of(".{0,12}"),
        options in prop::sample::select(vec![
            None, Some("null"), Some("{}"), Some("{ \"z\" : 1e2 }"),
            Some("{\"include_usage\" : false,\"z\":\"}\"}"), Some("{\"include_usage\":true}"),
        ]),
        stream in any::<bool>(),
        text in ".{0,30}",
        order in Just([0_usize, 1, 2, 3]).prop_shuffle(),
    ) -> String {
        let members = [
            model.map(|model| format!("\"model\"{gap}:{gap}{}", Value::from(model))),
            options.map(|options| format!("\"stream_options\"{gap}:{gap}{options}")),
            Some(format!("\"stream\":{stream}")),
            Some(format!("\"messages\":[{gap}{{\"content\":{}}}]", Value::from(text))),
        ];
        let list: Vec<String> = order.iter().filter_map(|&i| members[i].clone()).collect();
        format!("{gap}{{{gap}{}{gap}}}{gap}", list.join(&format!("{gap},{gap}")))
    }
}

proptest! {
    #[test]
    fn all_other_bytes_stay_and_the_json_is_the_same_but_for_the_members(
        text in arb_body(), model in prop::option::of(".{0,12}"), inject in any::<bool>(),
    ) {
        let body = Bytes::from(text.clone());
        let seen = peek(Endpoint::ChatCompletions, &body).unwrap();
        let out = upstream_body(&body, &seen, model.as_deref(), inject);

        let mut expected: Value = serde_json::from_str(&text).unwrap();
        if let Some(model) = &model {
            expected["model"] = model.as_str().into();
        }
        if inject && seen.stream {
            if !expected["stream_options"].is_object() {
                expected["stream_options"] = json!({});
            }
            expected["stream_options"]["include_usage"] = true.into();
        }
        let parsed: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(parsed, expected);

        // Cutting the edited places out of both leaves the same bytes.
        let again = peek(Endpoint::ChatCompletions, &out).unwrap();
        prop_assert_eq!(again.stream, seen.stream);
        prop_assert_eq!(again.input_tokens, seen.input_tokens);
        if let (Some(before), Some(after), false) = (&seen.model, &again.model, inject) {
            let (old, new) = (before.range.clone(), after.range.clone());
            prop_assert_eq!(&body[..old.start], &out[..new.start]);
            prop_assert_eq!(&body[old.end..], &out[new.end..]);
        }
        if model.is_none() && !(inject && seen.stream) {
            prop_assert_eq!(&out, &body);
        }
    }

    #[test]
    fn an_injected_option_leaves_every_byte_before_and_after_it(text in arb_body()) {
        let body = Bytes::from(text);
        let seen = peek(Endpoint::ChatCompletions, &body).unwrap();
        let out = upstream_body(&body, &seen, None, true);
        let same_head = body.iter().zip(&out).take_while(|(a, b)| a == b).count();
        let same_tail = body.iter().rev().zip(out.iter().rev()).take_while(|(a, b)| a == b).count();
        // At most a `null` or `false` is gone.
        prop_assert!(same_head + same_tail + "false".len() >= body.len());
    }
}

proptest! {
    #[test]
    fn a_subagents_tag_is_cut_out_and_what_was_read_of_the_body_holds_for_the_new_one(
        mut members in Just(vec![
            r#""model":"m\u0041""#.to_owned(),
            r#""messages":[{"role":"user","content":"Go"}]"#.to_owned(),
            r#""max_tokens":5"#.to_owned(),
        ]),
        position in 0_usize..=3,
        before in "[a-z ]{0,9}",
        after in r"(\\n)?[a-zé ]{0,9}",
        padding in "[ \n]{0,3}",
    ) {
        const TAG: &str = "<CCR-SUBAGENT-MODEL>openai,gpt-x</CCR-SUBAGENT-MODEL>";
        let system = format!(
            r#""system":[{{"type":"text","text":"{before}"}},{{"type":"text","text":"{TAG}{after}","cache_control":{{"type":"ephemeral"}}}}]"#
        );
        members.insert(position, system);
        let text = format!("{padding}{{{}}}{padding}", members.join(&format!(",{padding}")));
        let body = Bytes::from(text.clone());
        let mut seen = peek(Endpoint::Messages, &body).unwrap();
        let (model, cut) = take_subagent_model(&body, &mut seen).unwrap();
        prop_assert_eq!(model, "openai,gpt-x");
        prop_assert_eq!(&cut, &text.replacen(TAG, "", 1));
        let anew = peek(Endpoint::Messages, &cut).unwrap();
        prop_assert_eq!(&seen.model, &anew.model);
        prop_assert_eq!(seen.end, anew.end);
        prop_assert!(take_subagent_model(&cut, &mut seen).is_none());
        let renamed = upstream_body(&cut, &seen, Some("gpt-x"), false);
        prop_assert_eq!(renamed, upstream_body(&cut, &anew, Some("gpt-x"), false));
    }
}
