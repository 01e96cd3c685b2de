//! What clouds say before a model does, and how they break off (providers.md §4.2 and §4.4).

use serde_json::json;

use crate::clouds::{events, framed, written};
use crate::meets::{Meets, bedrock, frames, sound, verbatim, vertex};
use crate::row::Client::{Partial, Theirs};
use crate::row::Leaves::{Barred, Limited, Out, Scored, Sound};
use crate::row::{
    AZURE, Asked, BEDROCK, Group, Leaves, Row, VERTEX, chat_of, messages_of, messages_stream_of,
};
use crate::support::cloud::frames::{chunk, exception, frame};

const CLAUDE_ON_BEDROCK: Asked = messages_of(BEDROCK);
const CLAUDE_ON_VERTEX: Asked = messages_of(VERTEX);

/// At most a day: to midnight in UTC.
const A_DAY: u64 = 24 * 3600;

pub(super) fn rows() -> Vec<Row> {
    let mut rows = of_azure();
    rows.extend(of_bedrock());
    rows.extend(streams_of_bedrock());
    rows.extend(of_vertex());
    rows
}

fn cured(group: Group, trouble: &'static str, asked: Asked, meets: Meets, leaves: Leaves) -> Row {
    Row::new(group, trouble, asked).cured(meets, leaves)
}

fn of_azure() -> Vec<Row> {
    let azure = |status: u16, code: &str, message: &str| {
        let body = json!({ "error": { "code": code, "message": message } });
        let words = format!("{status} `{code}`");
        verbatim(&words, status, "application/json", &body.to_string())
    };
    let wrong = "Access denied due to invalid subscription key or wrong API endpoint.";
    let rate = "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version \
                2024-10-21 have exceeded call rate limit of your current OpenAI S0 pricing tier.";
    vec![
        cured(
            Group::Refused,
            "The key is not valid",
            chat_of(AZURE),
            azure(401, "401", wrong).everywhere(),
            Out("invalid_key"),
        ),
        cured(
            Group::Limits,
            "The key is over a limit",
            chat_of(AZURE),
            azure(429, "429", rate).header("retry-after", "40"),
            Limited(38..=40),
        ),
    ]
}

fn of_bedrock() -> Vec<Row> {
    let row =
        |group, trouble, meets, leaves| cured(group, trouble, CLAUDE_ON_BEDROCK, meets, leaves);
    let unknown = "The security token included in the request is invalid.";
    let expired = "The security token included in the request is expired";
    let clock = "Signature expired: 20261122T095000Z is now earlier than 20261122T095500Z (20261122T100000Z - 5 min.)";
    let denied = "You don't have access to the model with the specified model ID.";
    let on_demand =
        "Invocation of model ID anthropic.claude-x with on-demand throughput isn’t supported.";
    let minute = "Too many tokens, please wait before trying again.";
    let day = "Too many tokens per day, please wait before trying again.";
    let quota = "Your request exceeds the service quota for your account.";
    let not_ready = "The model is not ready to serve inference requests.";
    let busy = "Bedrock is unable to process your request.";
    let malformed = "messages: at least one message is required";
    vec![
        row(
            Group::Refused,
            "AWS does not know the access key",
            bedrock(403, "UnrecognizedClientException", unknown).everywhere(),
            Out("invalid_key"),
        ),
        row(
            Group::Refused,
            "The access key's session has expired",
            bedrock(403, "ExpiredTokenException", expired).everywhere(),
            Out("invalid_key"),
        ),
        row(
            Group::Refused,
            "The gateway's clock is wrong, and signatures with it",
            bedrock(403, "InvalidSignatureException", clock).quoting("Signature expired"),
            Scored(95),
        ),
        row(
            Group::Refused,
            "The account may not use the model",
            bedrock(403, "AccessDeniedException", denied),
            Barred,
        ),
        row(
            Group::Refused,
            "The region has no such model",
            bedrock(400, "ValidationException", on_demand).quoting("on-demand throughput"),
            Barred,
        ),
        row(
            Group::Limits,
            "The key is over a limit",
            bedrock(429, "ThrottlingException", minute),
            Limited(58..=60),
        ),
        row(
            Group::Limits,
            "The key is over a limit",
            bedrock(400, "ServiceQuotaExceededException", quota),
            Limited(58..=60),
        ),
        row(
            Group::Limits,
            "The day's quota is gone",
            bedrock(429, "ThrottlingException", day).quoting("tokens per day"),
            Limited(1..=A_DAY),
        ),
        row(
            Group::Failing,
            "The model is not ready in one region",
            bedrock(429, "ModelNotReadyException", not_ready),
            Sound,
        ),
        Row::new(
            Group::Failing,
            "The model is not ready, and there is one key",
            CLAUDE_ON_BEDROCK,
        )
        .keys([(
            bedrock(429, "ModelNotReadyException", not_ready).times(2),
            Sound,
        )])
        .attempts(3),
        row(
            Group::Failing,
            "The provider is overloaded",
            bedrock(503, "ServiceUnavailableException", busy),
            Sound,
        ),
        row(
            Group::Failing,
            "The model takes too long",
            bedrock(408, "ModelTimeoutException", "The model took too long."),
            Scored(95),
        ),
        Row::new(Group::Client, "The request is malformed", CLAUDE_ON_BEDROCK)
            .keys([
                (bedrock(400, "ValidationException", malformed), Sound),
                (sound(), Sound),
            ])
            .gets(Theirs(400, "invalid_request_error"))
            .do_not_retry(),
    ]
}

/// A frame of a kind that means nothing, of more bytes than are read at a time: what stands before it goes out before
/// what follows it is read.
fn padding() -> Vec<u8> {
    const BYTES: usize = 1 << 20;
    let headers = [(":event-type", "padding"), (":message-type", "event")];
    frame(&headers, &vec![b' '; BYTES])
}

fn streams_of_bedrock() -> Vec<Row> {
    let asked = messages_stream_of(BEDROCK);
    let all = events();
    // Some text has been said, and has gone out.
    let begun = [framed(&all[..3]), padding()].concat();
    let next = chunk(&all[3]);
    let with = |rest: &[u8]| [begun.as_slice(), rest].concat();
    let half = &next[..next.len() / 2];
    let mut damaged = next.clone();
    damaged[next.len() / 2] ^= 1;
    let throttled = exception("throttlingException", "Too many tokens");
    let unavailable = exception("serviceUnavailableException", "Busy.");
    let failed = exception("modelStreamErrorException", "The model broke off.");
    let first = |trouble, words: &str, bytes: &[u8], leaves| {
        cured(
            Group::Streams,
            trouble,
            asked,
            frames(words, bytes.to_vec()),
            leaves,
        )
    };
    let broken = |trouble, words: &str, rest: &[u8], code, leaves| {
        Row::new(Group::Streams, trouble, asked)
            .keys([(frames(words, with(rest)), leaves), (sound(), Sound)])
            .gets(Partial(code))
    };
    vec![
        first(
            "The first frame says that the key is over a limit",
            "200, `throttlingException`",
            &throttled,
            Limited(58..=60),
        ),
        first(
            "The first frame says that the provider is overloaded",
            "200, `serviceUnavailableException`",
            &unavailable,
            Sound,
        ),
        broken(
            "The key is over a limit after some text",
            "200, text, `throttlingException`",
            &throttled,
            "throttlingException",
            Limited(58..=60),
        ),
        broken(
            "The provider gives up after some text",
            "200, text, `modelStreamErrorException`",
            &failed,
            "modelStreamErrorException",
            Scored(95),
        ),
        broken(
            "The stream ends within a frame",
            "200, text, half a frame, the end",
            half,
            "upstream_reset",
            Scored(95),
        ),
        broken(
            "A frame is damaged",
            "200, text, a frame with a wrong checksum",
            &damaged,
            "upstream_garbage",
            Scored(95),
        ),
        broken(
            "The stream ends after some text as if it were complete",
            "200, text, the end",
            &[],
            "upstream_cut",
            Scored(95),
        ),
    ]
}

fn of_vertex() -> Vec<Row> {
    let row =
        |group, trouble, meets, leaves| cured(group, trouble, CLAUDE_ON_VERTEX, meets, leaves);
    let quota = "Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model \
                 with base model: anthropic-claude-x.";
    let expired = "Request had invalid authentication credentials.";
    let denied = "Permission 'aiplatform.endpoints.predict' denied on resource \
                  '//aiplatform.googleapis.com/projects/proj-1' (or it may not exist).";
    let unknown = "Publisher Model `projects/proj-1` was not found or your project does not have access to it.";
    let place = "Publisher Model `projects/proj-1` is not servable in region us-west1.";
    let unpaid = "This API method requires billing to be enabled.";
    let busy = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let token = || {
        let reason = Some("ACCESS_TOKEN_EXPIRED");
        vertex(401, "UNAUTHENTICATED", reason, expired).once()
    };
    let text: String = events()[..3].iter().map(written).collect();
    vec![
        row(
            Group::Refused,
            "The token has expired before its time",
            token(),
            Scored(95),
        ),
        Row::new(
            Group::Refused,
            "The token has expired before its time, and there is one key",
            CLAUDE_ON_VERTEX,
        )
        .keys([(token(), Scored(95))])
        .attempts(2),
        row(
            Group::Refused,
            "The project may not use the model",
            vertex(403, "PERMISSION_DENIED", None, denied),
            Barred,
        ),
        row(
            Group::Refused,
            "The project does not know the model",
            vertex(404, "NOT_FOUND", None, unknown),
            Barred,
        ),
        row(
            Group::Refused,
            "The region has no such model",
            vertex(400, "FAILED_PRECONDITION", None, place).quoting("not servable in region"),
            Barred,
        ),
        row(
            Group::Money,
            "The project has no billing account",
            vertex(403, "PERMISSION_DENIED", Some("BILLING_DISABLED"), unpaid),
            Out("out_of_credit"),
        ),
        row(
            Group::Limits,
            "The key is over a limit",
            vertex(429, "RESOURCE_EXHAUSTED", None, quota),
            Limited(58..=60),
        ),
        row(
            Group::Failing,
            "The provider is overloaded",
            verbatim("529 `overloaded_error`", 529, "application/json", busy),
            Sound,
        ),
        Row::new(
            Group::Streams,
            "The stream ends after some text as if it were complete",
            messages_stream_of(VERTEX),
        )
        .keys([
            (
                verbatim("200, text, the end", 200, "text/event-stream", &text),
                Scored(95),
            ),
            (sound(), Sound),
        ])
        .gets(Partial("upstream_cut")),
    ]
}
