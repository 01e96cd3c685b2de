//! Each pitfall of translating between Anthropic's API and OpenAI's, and each rule, has a snapshot that shows how
//! it is met.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails says where"
)]

mod util;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use keypool_translate::Api;
use keypool_translate::rules::{Field, Verdict};
use util::{fixtures, folder};

const M: Api = Api::Messages;
const C: Api = Api::ChatCompletions;
const R: Api = Api::Responses;
const G: Api = Api::GenerateContent;

/// A snapshot's name and the API that is written; what has to stand there, white space aside.
type Proof = (&'static str, Api, &'static str);

/// Each pitfall with its proofs: both directions where it has two, whole and streamed where both differ.
const ROWS: &[(&str, &[Proof])] = &[
    (
        "max_tokens is demanded by one and optional for the other",
        &[
            ("requests__chat__plain", M, r#""max_tokens":8192"#),
            (
                "requests__messages__plain",
                C,
                r#""max_completion_tokens":1024"#,
            ),
            (
                "requests__messages__plain",
                R,
                r#""max_output_tokens":1024"#,
            ),
            ("requests__messages__plain", G, r#""maxOutputTokens":1024"#),
        ],
    ),
    (
        "instructions may stand anywhere, or at the front alone",
        &[
            (
                "requests__chat__everything_that_tunes",
                M,
                r#""system":[{"type":"text","text":"Be brief."},{"type":"text","text":"Be briefer."}]"#,
            ),
            (
                "requests__messages__adaptive_thinking_of_claude_code",
                C,
                r#"{"role":"system","content":"The user opened main.rs."},{"role":"user","#,
            ),
        ],
    ),
    (
        "the user speaks first, roles take turns, and blank texts go",
        &[
            (
                "requests__chat__json_object",
                M,
                r#""messages":[{"role":"user","content":"…"},"#,
            ),
            (
                "requests__chat__roles",
                M,
                r#""content":[{"type":"text","text":"One."},{"type":"text","text":"Two."}]},{"role":"assistant""#,
            ),
            (
                "requests__messages__no_tool",
                C,
                r#"[{"type":"text","text":"One."},{"type":"text","text":"Two."}]"#,
            ),
        ],
    ),
    (
        "the model's turn that is to go on stays the last",
        &[
            (
                "requests__chat__roles",
                M,
                r#"{"type":"text","text":"Six begins"}]}]"#,
            ),
            (
                "requests__messages__forced_tool",
                C,
                r#"{"role":"assistant","content":"Then"}]"#,
            ),
        ],
    ),
    (
        "arguments are an object or its text, with its own figures and order",
        &[
            (
                "requests__messages__tools_in_parallel",
                C,
                r#""arguments":"{ \"location\": \"Paris\", \"days\": 1.0, \"big\": 12345678901234567890 }""#,
            ),
            (
                "requests__chat__tools_in_parallel",
                M,
                r#""input":{"location":"Paris","big":12345678901234567890,"half":0.50}"#,
            ),
            (
                "requests__chat__tools_in_parallel",
                M,
                r#""name":"get_weather","input":{}}"#,
            ),
            (
                "answers__messages__thinking_and_tools",
                C,
                r#""name":"get_time","arguments":"{}""#,
            ),
            ("answers__chat__tools", M, r#""name":"ping","input":{}"#),
            (
                "answers__chat__tools",
                M,
                r#""input":{"location":"Boston, MA","n":1.50}"#,
            ),
        ],
    ),
    (
        "results of a turn come first in one message, or each in its own",
        &[
            (
                "requests__messages__tools_in_parallel",
                C,
                r#""content":"18 degrees"},{"role":"tool","tool_call_id":"toolu_01B","content":"Error: clock is broken"},{"role":"user","#,
            ),
            (
                "requests__chat__tools_in_parallel",
                M,
                r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_abc","content":"18"},{"type":"tool_result","#,
            ),
            (
                "requests__chat__tools_in_parallel",
                M,
                r#""content":"bad arguments"},{"type":"text","text":"Thanks."}]"#,
            ),
        ],
    ),
    (
        "ids stay as they are, but for what is refused in them",
        &[
            (
                "requests__messages__tools_in_parallel",
                C,
                r#""tool_call_id":"toolu_01A""#,
            ),
            ("requests__chat__tools_in_parallel", M, r#""id":"call_abc""#),
            (
                "requests__chat__tools_in_parallel",
                M,
                r#""tool_use_id":"functions_get_weather_1""#,
            ),
        ],
    ),
    (
        "whether tools must be called, and in parallel",
        &[
            (
                "requests__messages__tools_in_parallel",
                C,
                r#""tool_choice":"auto","parallel_tool_calls":false"#,
            ),
            (
                "requests__messages__any_tool",
                C,
                r#""tool_choice":"required","parallel_tool_calls":false"#,
            ),
            ("requests__messages__no_tool", C, r#""tool_choice":"none""#),
            (
                "requests__messages__forced_tool",
                C,
                r#""tool_choice":{"type":"function","function":{"name":"get_weather"}}"#,
            ),
            (
                "requests__chat__tools_in_parallel",
                M,
                r#""tool_choice":{"type":"any","disable_parallel_tool_use":true}"#,
            ),
            (
                "requests__chat__no_tool",
                M,
                r#""tool_choice":{"type":"none"}"#,
            ),
            (
                "requests__chat__named_tool",
                M,
                r#""tool_choice":{"type":"tool","name":"get_weather"}"#,
            ),
            (
                "requests__chat__no_tool",
                G,
                r#""functionCallingConfig":{"mode":"NONE"}"#,
            ),
            ("requests__chat__no_tool", G, "parallel_tool_calls: dropped"),
        ],
    ),
    (
        "schemas of tools; the provider's own are refused",
        &[
            (
                "requests__messages__any_tool",
                C,
                r#""parameters":{"type":"object""#,
            ),
            (
                "requests__chat__named_tool",
                M,
                r#""input_schema":{"type":"object""#,
            ),
            (
                "requests__chat__tools_in_parallel",
                M,
                "tools.strict: dropped",
            ),
            (
                "requests__messages__server_tool",
                C,
                "refused: `web_search_20260318`",
            ),
            ("requests__responses__server_tool", M, "refused:"),
            ("requests__gemini__server_tool", M, "refused:"),
        ],
    ),
    (
        "images by data and by URL, in messages and in results; documents",
        &[
            (
                "requests__messages__images_and_documents",
                C,
                r#""url":"data:image/jpeg;base64,/9j/4AAQSkZJRg==""#,
            ),
            (
                "requests__messages__images_and_documents",
                C,
                r#""url":"https://example.com/ant.jpg""#,
            ),
            (
                "requests__messages__images_and_documents",
                C,
                r#""file_data":"data:application/pdf;base64,JVBERi0xLjcK""#,
            ),
            (
                "requests__messages__tools_in_parallel",
                C,
                r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}},"#,
            ),
            (
                "requests__messages__tools_in_parallel",
                C,
                "tool_result.image: changed",
            ),
            (
                "requests__messages__document_by_url",
                C,
                "refused: `document.url`",
            ),
            (
                "requests__chat__images_and_files",
                M,
                r#""source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}"#,
            ),
            (
                "requests__chat__images_and_files",
                M,
                r#""source":{"type":"url","url":"https://example.com/boardwalk.jpg"}"#,
            ),
            (
                "requests__chat__images_and_files",
                M,
                "image.detail: dropped",
            ),
            (
                "requests__chat__images_and_files",
                M,
                r#""data":"Plain text.""#,
            ),
        ],
    ),
    (
        "thinking comes back to its maker whole, and to nobody else",
        &[
            (
                "requests__messages__thinking_within_tool_use",
                C,
                "reasoning of another provider: dropped",
            ),
            (
                "requests__chat__reasoning_comes_back",
                M,
                r#"{"type":"thinking","thinking":"I need the tool.","signature":"EqQBCgIYAhIM"},{"type":"redacted_thinking","data":"EmwKAhgB"}"#,
            ),
            (
                "requests__chat__structured_output",
                M,
                r#""thinking":{"type":"enabled","budget_tokens":"#,
            ),
            (
                "requests__messages__several_rounds_of_tools",
                C,
                r#""reasoning_effort":"medium""#,
            ),
            ("requests__chat__named_tool", M, "reasoning: dropped"),
            (
                "answers__messages__thinking_and_tools",
                C,
                r#""signature":"keypool::anthropic::EqQBCgIYAhIM""#,
            ),
            (
                "streams__messages__thinking_and_tools",
                C,
                r#""data":"keypool::redacted::EmwKAhgB""#,
            ),
            (
                "streams__chat__reasoning_and_tools",
                M,
                r#""signature":"keypool::chat::""#,
            ),
        ],
    ),
    (
        "Gemini's signatures, and its calls without ids",
        &[
            (
                "answers__gemini__thoughts_and_tools",
                M,
                "keypool::gemini::CpwBAXLI2nw=",
            ),
            (
                "streams__gemini__thoughts_and_tools",
                C,
                "thought_signature",
            ),
            (
                "requests__gemini__tools_and_thoughts",
                C,
                r#""tool_call_id":"call_"#,
            ),
            (
                "requests__messages__several_rounds_of_tools",
                G,
                r#""thoughtSignature":"skip_thought_signature_validator""#,
            ),
        ],
    ),
    (
        "sampling within what the other takes",
        &[
            (
                "requests__chat__everything_that_tunes",
                M,
                r#""temperature":1,"#,
            ),
            (
                "requests__chat__everything_that_tunes",
                M,
                "temperature: changed",
            ),
            (
                "requests__chat__everything_that_tunes",
                M,
                "penalties: dropped; seed: dropped",
            ),
            (
                "requests__chat__everything_that_tunes",
                M,
                "logit_bias: dropped; logprobs: dropped",
            ),
            ("requests__chat__several_answers", M, "refused: `n`"),
            (
                "requests__messages__everything_that_tunes",
                C,
                "top_k: dropped",
            ),
        ],
    ),
    (
        "stop sequences, but blank ones",
        &[
            (
                "requests__messages__everything_that_tunes",
                C,
                r####""stop":["###"]"####,
            ),
            (
                "requests__chat__everything_that_tunes",
                M,
                r#""stop_sequences":["END"]"#,
            ),
            ("requests__chat__json_object", M, "stop (blank): dropped"),
            (
                "requests__messages__everything_that_tunes",
                R,
                "refused: `stop`",
            ),
        ],
    ),
    (
        "why an answer stopped",
        &[
            ("answers__messages__text", C, r#""finish_reason":"stop""#),
            (
                "answers__messages__max_tokens",
                C,
                r#""finish_reason":"length""#,
            ),
            (
                "answers__messages__stop_sequence",
                C,
                r#""finish_reason":"stop""#,
            ),
            (
                "answers__messages__thinking_and_tools",
                C,
                r#""finish_reason":"tool_calls""#,
            ),
            (
                "answers__messages__refusal",
                C,
                r#""finish_reason":"content_filter""#,
            ),
            (
                "answers__messages__context_window",
                C,
                r#""finish_reason":"length""#,
            ),
            (
                "answers__messages__pause_turn",
                C,
                r#""finish_reason":"stop""#,
            ),
            ("answers__chat__text", M, r#""stop_reason":"end_turn""#),
            ("answers__chat__length", M, r#""stop_reason":"max_tokens""#),
            ("answers__chat__tools", M, r#""stop_reason":"tool_use""#),
            (
                "answers__chat__content_filter",
                M,
                r#""stop_reason":"refusal""#,
            ),
            ("answers__chat__refusal", M, r#""stop_reason":"refusal""#),
            ("streams__messages__text", C, r#""finish_reason":"stop""#),
            (
                "streams__messages__max_tokens",
                C,
                r#""finish_reason":"length""#,
            ),
            (
                "streams__messages__stop_sequence",
                C,
                r#""finish_reason":"stop""#,
            ),
            (
                "streams__messages__thinking_and_tools",
                C,
                r#""finish_reason":"tool_calls""#,
            ),
            (
                "streams__messages__refusal",
                C,
                r#""finish_reason":"content_filter""#,
            ),
            (
                "streams__messages__context_window",
                C,
                r#""finish_reason":"length""#,
            ),
            (
                "streams__messages__pause_turn",
                C,
                r#""finish_reason":"stop""#,
            ),
            ("streams__chat__text", M, r#""stop_reason":"end_turn""#),
            ("streams__chat__length", M, r#""stop_reason":"max_tokens""#),
            (
                "streams__chat__reasoning_and_tools",
                M,
                r#""stop_reason":"tool_use""#,
            ),
            (
                "streams__chat__content_filter",
                M,
                r#""stop_reason":"refusal""#,
            ),
            ("streams__chat__refusal", M, r#""stop_reason":"refusal""#),
            (
                "streams__messages__max_tokens",
                R,
                r#""incomplete_details":{"reason":"max_output_tokens"}"#,
            ),
            (
                "streams__messages__max_tokens",
                G,
                r#""finishReason":"MAX_TOKENS""#,
            ),
        ],
    ),
    (
        "streamed calls: numbered among the calls alone, named once, closed one by one, never without arguments",
        &[
            (
                "streams__messages__thinking_and_tools",
                C,
                r#"{"index":0,"id":"toolu_01T1x1fJ34qAmk2tNTrN7Up6","#,
            ),
            (
                "streams__messages__thinking_and_tools",
                C,
                r#"{"index":1,"id":"toolu_02","#,
            ),
            (
                "streams__messages__thinking_and_tools",
                C,
                r#"{"index":1,"function":{"arguments":"{}"}}"#,
            ),
            (
                "streams__chat__reasoning_and_tools",
                M,
                r#"{"type":"content_block_stop","index":1} event: content_block_start data: {"type":"content_block_start","index":2,"#,
            ),
        ],
    ),
    (
        "usage: what was cached is a part of the prompt, or stands beside it",
        &[
            (
                "answers__messages__text",
                C,
                r#""prompt_tokens":117,"completion_tokens":8,"total_tokens":125,"prompt_tokens_details":{"cached_tokens":100,"cache_write_tokens":5"#,
            ),
            (
                "answers__chat__text",
                M,
                r#""input_tokens":90,"cache_creation_input_tokens":5,"cache_read_input_tokens":1024"#,
            ),
            (
                "streams__messages__max_tokens",
                C,
                r#""prompt_tokens":12,"completion_tokens":4"#,
            ),
            (
                "streams__chat__length",
                M,
                r#""input_tokens":4,"cache_creation_input_tokens":0,"cache_read_input_tokens":8,"output_tokens":2"#,
            ),
        ],
    ),
    (
        "marks of the prompt cache go",
        &[
            (
                "requests__messages__several_rounds_of_tools",
                C,
                "cache_control: dropped",
            ),
            (
                "requests__chat__everything_that_tunes",
                M,
                "cache_control: dropped",
            ),
        ],
    ),
    (
        "who the end user is",
        &[
            (
                "requests__messages__everything_that_tunes",
                C,
                r#""safety_identifier":"u-1""#,
            ),
            (
                "requests__chat__named_tool",
                M,
                r#""metadata":{"user_id":"user-77"}"#,
            ),
        ],
    ),
    (
        "answers held to a schema",
        &[
            (
                "requests__messages__structured_output",
                C,
                r#""response_format":{"type":"json_schema""#,
            ),
            (
                "requests__chat__structured_output",
                M,
                r#""format":{"type":"json_schema""#,
            ),
        ],
    ),
    (
        "errors keep their status, words and request id",
        &[
            ("errors__messages__overloaded_529", C, "status 529"),
            (
                "errors__messages__overloaded_529",
                C,
                r#""message":"Overloaded"#,
            ),
            (
                "errors__chat__context_length_400",
                M,
                r#""type":"invalid_request_error""#,
            ),
            (
                "streams__messages__overloaded_in_the_middle",
                C,
                r#"data: {"error":{"message":"Overloaded"#,
            ),
            ("streams__chat__error_in_the_middle", M, "event: error"),
        ],
    ),
    (
        "each API's own end",
        &[
            ("streams__chat__text", M, r#"data: {"type":"message_stop"}"#),
            ("streams__messages__text", C, "data: [DONE]"),
            ("streams__messages__text", R, "event: response.completed"),
            ("streams__messages__text", G, r#""finishReason":"STOP""#),
        ],
    ),
];

fn path(snapshot: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    root.join(format!("{snapshot}.snap"))
}

/// What a snapshot shows of one API.
fn section(snapshot: &str, api: Api) -> Option<String> {
    let text = fs::read_to_string(path(snapshot)).ok()?;
    let (_, after) = text.split_once(&format!("== {}\n", api.name()))?;
    Some(after.split("\n== ").next()?.to_owned())
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn every_pitfall_has_a_snapshot_that_shows_how_it_is_met() {
    let mut missing = String::new();
    for (row, proofs) in ROWS {
        assert!(!proofs.is_empty(), "{row}");
        for (snapshot, api, expected) in *proofs {
            let section = section(snapshot, *api).unwrap_or_default();
            if !squeezed(&section).contains(&squeezed(expected)) {
                writeln!(
                    missing,
                    "{row}: {snapshot} has no {expected} for {}",
                    api.name()
                )
                .unwrap();
            }
        }
    }
    assert_eq!(missing, "");
}

/// Fields that embeddings alone have; `tests/embeddings.rs` is about them.
const OF_EMBEDDINGS: [Field; 2] = [Field::EmbeddedTokens, Field::EmbeddingTask];

#[test]
fn every_rule_that_loses_or_refuses_has_a_snapshot_that_says_so() {
    let snapshots: Vec<String> = fixtures("requests")
        .iter()
        .map(|fixture| format!("requests__{}__{}", folder(fixture.api), fixture.name))
        .map(|snapshot| fs::read_to_string(path(&snapshot)).unwrap_or_default())
        .collect();
    let mut missing = String::new();
    let fields = Field::ALL.iter();
    for field in fields.filter(|field| !OF_EMBEDDINGS.contains(field)) {
        for api in Api::ALL {
            let name = field.name();
            let said = match field.verdict(api) {
                Verdict::Carried => continue,
                Verdict::Changed => format!("{name}: changed"),
                Verdict::Dropped => format!("{name}: dropped"),
                // A refusal may name what was met.
                Verdict::Refused => field.why().to_owned(),
            };
            if !snapshots.iter().any(|snapshot| snapshot.contains(&said)) {
                writeln!(missing, "{said} ({})", api.name()).unwrap();
            }
        }
    }
    assert_eq!(missing, "");
}
