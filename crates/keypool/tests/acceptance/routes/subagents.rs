//! The tag by which a subagent's prompt names its model.

use serde_json::{Value, json};

use super::{claude_code, goes, long, ruled, sent, thinking, unruled, with, with_all_rules};
use crate::support::{Api, Setup};

const TAG: &str = "<CCR-SUBAGENT-MODEL>anthropic,claude-tagged</CCR-SUBAGENT-MODEL>";

/// The request of a subagent whose prompt begins with this.
fn subagent(tag: &str) -> Value {
    let mut body = claude_code();
    body["system"][2]["text"] = format!("{tag}\nReview the code.").into();
    body
}

#[tokio::test]
async fn the_tag_chooses_the_model_and_not_one_other_byte_is_changed() {
    let world = with_all_rules().start().await;
    // Written as no serialiser would write it again.
    let text = r#"{ "model":"claude-sonnet-4-5" , "max_tokens":6.4e4,"system" :[{"type":"text","text":"You are \u0043laude"},
 {"text":"TAG\n\nReview caf\u00e9 <b>","type":"text","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"TAG"}],
 "metadata":{"user_id":"u"}}"#;
    let text = text.replacen("6.4e4", "64000", 1).replace("TAG", TAG);
    let call = world
        .post(Api::Messages.path())
        .header("anthropic-version", "2023-06-01");
    let answer = call
        .header("content-type", "application/json")
        .body(text.clone())
        .await;
    answer.assert_ok();
    assert_eq!(answer.header("x-keypool-rule"), "subagent");
    let received = world.received().pop().unwrap().body;
    let expected = text
        .replacen("claude-sonnet-4-5", "claude-tagged", 1)
        .replacen(TAG, "", 1);
    assert_eq!(String::from_utf8(received.to_vec()).unwrap(), expected);
}

#[tokio::test]
async fn the_tag_goes_before_other_rules_but_after_the_long_context_as_in_claude_code_router() {
    let world = with_all_rules().start().await;
    let tagged = ("subagent".to_owned(), "claude-tagged".to_owned());
    assert_eq!(goes(&world, &subagent(TAG)).await, tagged);
    assert_eq!(goes(&world, &thinking(subagent(TAG))).await, tagged);
    let haiku = with(subagent(TAG), "model", "claude-haiku-4-5");
    assert_eq!(goes(&world, &haiku).await, tagged);
    assert_eq!(
        goes(&world, &long(subagent(TAG))).await,
        ruled("longContext")
    );

    let explicit = with(subagent(TAG), "model", "anthropic,claude-named");
    assert_eq!(goes(&world, &explicit).await, unruled("claude-named"));
    let received = world.received().pop().unwrap().body;
    assert!(
        !String::from_utf8_lossy(&received).contains("CCR"),
        "no provider sees it"
    );
}

#[tokio::test]
async fn the_tag_needs_no_router_and_may_name_an_alias_or_a_provider_of_another_api() {
    let world = Setup::both(1)
        .set("/Aliases", json!({ "fast": ["anthropic,claude-fast"] }))
        .start()
        .await;
    let model = |name: &str| subagent(&format!("<CCR-SUBAGENT-MODEL>{name}</CCR-SUBAGENT-MODEL>"));
    let fast = ("subagent".to_owned(), "claude-fast".to_owned());
    assert_eq!(goes(&world, &model("fast")).await, fast);
    let aliased = with(model("anthropic/claude-x"), "model", "fast");
    assert_eq!(goes(&world, &aliased).await.1, "claude-x");

    let (answer, _, name) = sent(&world, Api::Messages.path(), &model("openai,gpt-x")).await;
    assert_eq!(
        (answer.header("x-keypool-provider"), name.as_str()),
        ("openai", "gpt-x")
    );
    let received = world.received().pop().unwrap().body;
    assert!(!String::from_utf8_lossy(&received).contains("CCR"));

    let call = world
        .post(Api::Messages.path())
        .header("anthropic-version", "2023-06-01");
    let unknown = call.json(&model("opnai,gpt-x")).await;
    Api::Messages.assert_error(&unknown, 404, "unknown_provider");
    assert_eq!(unknown.header("x-should-retry"), "false");
}
