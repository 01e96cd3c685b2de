//! Where requests go whose model is a bare name: the rules of `Router`, their order, their fallbacks, and the
//! lists of models that clients may name. Names that say their provider are proved in [`crate::routing`].

mod fallbacks;
mod globs;
mod lists;
mod rules;
mod subagents;

use serde_json::{Value, json};

use crate::support::{Answer, Api, Setup, World};

/// The models that the rules name, each told by its name.
const RULES: [(&str, &str); 6] = [
    ("default", "anthropic,claude-default"),
    ("background", "anthropic,claude-background"),
    ("think", "anthropic,claude-think"),
    // Served by another provider in another API.
    ("longContext", "openai,gpt-long"),
    ("webSearch", "anthropic,claude-search"),
    ("image", "anthropic,claude-image"),
];

/// Both providers, and these of the rules.
fn with_rules(rules: &[&str]) -> Setup {
    let rules: serde_json::Map<String, Value> = RULES
        .iter()
        .filter(|(rule, _)| rules.contains(rule))
        .map(|(rule, target)| ((*rule).to_owned(), (*target).into()))
        .collect();
    Setup::both(1).set("/Router", rules)
}

fn with_all_rules() -> Setup {
    with_rules(&RULES.map(|(rule, _)| rule))
}

/// What Claude Code sends when somebody says hi, with fewer and shorter tools.
fn claude_code() -> Value {
    json!({
        "model": "claude-sonnet-4-5",
        "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "<system-reminder>\nAs you answer the user's questions…" },
            { "type": "text", "text": "Say hi", "cache_control": { "type": "ephemeral" } },
        ] }],
        "system": [
            { "type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197.e1d; cc_entrypoint=sdk-cli;" },
            { "type": "text", "text": "You are a Claude agent, built on Anthropic's Claude Agent SDK.",
              "cache_control": { "type": "ephemeral" } },
            { "type": "text", "text": "Help the user with software.", "cache_control": { "type": "ephemeral" } },
        ],
        "tools": [{ "name": "Read", "description": "Reads a file", "input_schema": {
            "type": "object", "properties": { "file_path": { "type": "string" } }, "required": ["file_path"],
        } }],
        "metadata": { "user_id": "{\"device_id\":\"d\",\"account_uuid\":\"\",\"session_id\":\"s-1\"}" },
        "max_tokens": 64000,
        "stream": true,
    })
}

/// A body with one member set.
fn with(mut body: Value, member: &str, value: impl Into<Value>) -> Value {
    body[member] = value.into();
    body
}

fn thinking(body: Value) -> Value {
    with(body, "thinking", json!({ "type": "adaptive" }))
}

fn searching(mut body: Value) -> Value {
    let tool = json!({ "type": "web_search_20250305", "name": "web_search", "max_uses": 8 });
    body["tools"].as_array_mut().unwrap().push(tool);
    body
}

/// With a picture that a tool has read.
fn seeing(mut body: Value) -> Value {
    let source = json!({ "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo=" });
    let read = json!({ "role": "assistant", "content": [
        { "type": "tool_use", "id": "toolu_1", "name": "Read", "input": { "file_path": "a.png" } },
    ] });
    let result = json!({ "role": "user", "content": [
        { "type": "tool_result", "tool_use_id": "toolu_1", "content": [{ "type": "image", "source": source }] },
    ] });
    body["messages"]
        .as_array_mut()
        .unwrap()
        .extend([read, result]);
    body
}

/// With a prompt of some 70,000 tokens.
fn long(mut body: Value) -> Value {
    body["messages"][0]["content"][1]["text"] = "Say hi, and hi. ".repeat(15_000).into();
    body
}

/// Sends it to this endpoint; the answer, the rule that it tells of, and the model that the provider was
/// asked for.
async fn sent(world: &World, path: &str, body: &Value) -> (Answer, String, String) {
    world.sim.sim().reset();
    let call = world
        .post(path)
        .header("anthropic-version", "2023-06-01")
        .header("anthropic-beta", "claude-code-20250219");
    let answer = call.json(body).await;
    answer.assert_ok();
    let rule = answer.header("x-keypool-rule").to_owned();
    let received = world.received().pop().unwrap();
    let received: Value = serde_json::from_slice(&received.body).unwrap();
    let model = received["model"].as_str().unwrap().to_owned();
    (answer, rule, model)
}

/// Rule and model of a request to the Messages API.
async fn goes(world: &World, body: &Value) -> (String, String) {
    let (_, rule, model) = sent(world, Api::Messages.path(), body).await;
    (rule, model)
}

/// The rule and the model that a name of [`RULES`] stands for.
fn ruled(rule: &str) -> (String, String) {
    let (_, target) = RULES.iter().find(|(name, _)| *name == rule).unwrap();
    let (_, model) = target.split_once(',').unwrap();
    (rule.to_owned(), model.to_owned())
}

fn unruled(model: &str) -> (String, String) {
    (String::new(), model.to_owned())
}
