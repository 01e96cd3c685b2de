//! Rules with several targets: the first is wanted, the rest serve in its stead, in order.

use keypool_sim::Fault;
use serde_json::json;

use super::{claude_code, goes, sent, thinking};
use crate::support::{Setup, anthropic_key, openai_key};

/// Three targets: two models of the first key, then another provider in another API.
fn setup() -> Setup {
    Setup::both(1).set(
        "/Router",
        json!({
            "default": ["anthropic,claude-first", "anthropic,claude-second"],
            "think": "anthropic,claude-think",
        }),
    )
}

#[tokio::test]
async fn the_targets_of_a_rule_are_tried_in_their_order_and_then_those_of_fallback() {
    let world = setup()
        .set(
            "/fallback",
            json!({ "default": ["openai,gpt-third"], "think": ["mini"] }),
        )
        .set("/Aliases", json!({ "mini": ["openai,gpt-mini"] }))
        .start()
        .await;
    assert_eq!(goes(&world, &claude_code()).await.1, "claude-first");
    let key = anthropic_key(1);
    let broken =
        |models: &[&str]| keypool_sim::FaultWindow::always(Fault::status(500)).for_models(models);
    world.fault(&key, broken(&["claude-first"]));
    assert_eq!(
        goes(&world, &claude_code()).await,
        ("default".to_owned(), "claude-second".to_owned())
    );
    world.fault(&key, broken(&["claude-first", "claude-second"]));
    // Translated from the client's own request.
    assert_eq!(goes(&world, &claude_code()).await.1, "gpt-third");
    world.fault(&key, broken(&["claude-*"]));
    assert_eq!(
        goes(&world, &thinking(claude_code())).await,
        ("think".to_owned(), "gpt-mini".to_owned())
    );
    assert_eq!(world.served(&openai_key(1)), 1);
}

#[tokio::test]
async fn a_target_that_cannot_be_asked_for_it_is_passed_over() {
    let forms = json!(["anthropic,claude-x", "openai,text-embedding-3-small"]);
    let world = Setup::both(1)
        .set("/Aliases", json!({ "vectors": forms }))
        .start()
        .await;
    let body = json!({ "model": "vectors", "input": "hi" });
    // Anthropic has no embeddings.
    let (_, _, model) = sent(&world, "/v1/embeddings", &body).await;
    assert_eq!(model, "text-embedding-3-small");
}
