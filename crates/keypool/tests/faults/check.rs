//! What is not as a row says.

use std::ops::RangeInclusive;

use http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;

use crate::row::{Advice, Asked, Client, Leaves, Row};
use crate::run::{Seen, TEXT};
use crate::support::{Answer, Api, Event};

/// What is wrong with the answer.
pub(crate) fn answer(row: &Row, seen: &Seen) -> Vec<String> {
    let answer = &seen.answer;
    let found = match &row.client {
        Client::Whole => whole(row.asked, answer),
        Client::Unmarked => unmarked(row.asked.api, answer),
        Client::Partial(code) => partial(row.asked, answer, code),
        Client::Theirs(status, word) => theirs(row, answer, *status, word),
        Client::Ours(status, code) => ours(row.asked.api, answer, *status, code),
    };
    let mut complaints: Vec<String> = found.err().into_iter().collect();
    complaints.extend(advice(&row.advice, &answer.headers).err());
    if seen.is_broken {
        complaints.push("the connection broke".to_owned());
    }
    if !complaints.is_empty() {
        complaints.push(format!(
            "it was: {} {:?}\n{}",
            answer.status,
            answer.headers,
            answer.text()
        ));
    }
    complaints
}

/// What is wrong with the number of attempts: the one that the client is told, and the one that the
/// provider counted.
pub(crate) fn attempts(row: &Row, seen: &Seen, reached: usize) -> Option<String> {
    let told: u32 = match seen.answer.header("x-keypool-attempts") {
        "" => 0,
        told => told.parse().unwrap(),
    };
    let reached = u32::try_from(reached).unwrap();
    let is_right = row.attempts.contains(&told)
        && if row.keys.iter().all(|meets| !meets.is_elsewhere()) {
            reached == told
        } else {
            reached <= told
        };
    (!is_right).then(|| format!("{told} attempts were told, {reached} reached the provider"))
}

/// What is wrong with a key, by what the admin API shows of it.
pub(crate) fn key(asked: Asked, leaves: &Leaves, details: &Value) -> Result<(), String> {
    let state = details["health"].as_str().unwrap();
    let score = details["healthScore"].as_u64().unwrap();
    let barred = details["barredModels"].as_array().unwrap();
    let is_barred = barred
        .iter()
        .any(|barred| barred["model"] == asked.api.model());
    let limited = || -> Option<Timestamp> { details["rateLimitedUntil"].as_str()?.parse().ok() };
    let holds = match leaves {
        Leaves::Sound => state == "healthy" && score == 100 && barred.is_empty(),
        Leaves::Scored(wanted) => state == "healthy" && score == *wanted && barred.is_empty(),
        Leaves::Degraded(wanted) => state == "degraded" && wanted.contains(&score),
        Leaves::Limited(wait) => {
            state == "rate-limited" && limited().is_some_and(|until| is_in(until, wait))
        }
        Leaves::Out(code) => state == "unavailable" && details["lastError"]["code"] == *code,
        Leaves::OutWithGroup => state == "unavailable" && score == 100,
        Leaves::Barred => state == "healthy" && score == 100 && is_barred,
    };
    if holds {
        return Ok(());
    }
    Err(format!(
        "{state} with {score}, limited until {}, barred {}, last error {}",
        details["rateLimitedUntil"], details["barredModels"], details["lastError"]
    ))
}

/// Whether an instant is so many seconds away; the look at it came a little late.
fn is_in(until: Timestamp, wait: &RangeInclusive<u64>) -> bool {
    let left = until.duration_since(Timestamp::now()).as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "seconds of a test")]
    let (least, most) = (*wait.start() as f64, *wait.end() as f64);
    least - 5.0 <= left && left <= most
}

fn ensure(holds: bool, complaint: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(complaint.to_owned())
    }
}

fn whole(asked: Asked, answer: &Answer) -> Result<(), String> {
    ensure(answer.status == 200, "no answer")?;
    if asked.is_streamed {
        let events = answer.events();
        let last = events.last().ok_or("no event")?;
        ensure(is_last(asked.api, last), "the end marker is missing")?;
        return all_text(asked.api, &events);
    }
    let body: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    match text(asked.api, &body) {
        Some(text) => ensure(text == TEXT, "the text is not the whole one"),
        None => ensure(body["data"][0]["embedding"].is_array(), "no embedding"),
    }
}

fn unmarked(api: Api, answer: &Answer) -> Result<(), String> {
    ensure(answer.status == 200, "no answer")?;
    let events = answer.events();
    let is_marked = events.iter().any(|event| is_last(api, event));
    ensure(!is_marked, "an end marker was made up")?;
    all_text(api, &events)
}

fn all_text(api: Api, events: &[Event]) -> Result<(), String> {
    ensure(!events.iter().any(is_error), "there is an error event")?;
    let text: String = events.iter().map(|event| piece(api, event)).collect();
    ensure(text == TEXT, "the text is not the whole one")
}

/// The text of a plain answer; none for embeddings.
fn text(api: Api, body: &Value) -> Option<&str> {
    match api {
        Api::Messages => body["content"][0]["text"].as_str(),
        Api::Chat => body["choices"][0]["message"]["content"].as_str(),
        Api::Responses => body["output"][0]["content"][0]["text"].as_str(),
        Api::Gemini => body["candidates"][0]["content"]["parts"][0]["text"].as_str(),
        Api::Embeddings => None,
    }
}

/// The piece of text that an event carries.
fn piece(api: Api, event: &Event) -> String {
    let data = event.json();
    let piece = match api {
        Api::Messages => &data["delta"]["text"],
        Api::Chat | Api::Embeddings => &data["choices"][0]["delta"]["content"],
        Api::Responses if event.name == "response.output_text.delta" => &data["delta"],
        Api::Responses => &Value::Null,
        Api::Gemini => &data["candidates"][0]["content"]["parts"][0]["text"],
    };
    piece.as_str().unwrap_or_default().to_owned()
}

fn partial(asked: Asked, answer: &Answer, code: &str) -> Result<(), String> {
    ensure(answer.status == 200, "the stream did not begin")?;
    let events = answer.events();
    let (last, before) = events.split_last().ok_or("no event")?;
    ensure(is_error(last), "it does not end with an error")?;
    ensure(!before.iter().any(is_error), "one error is enough")?;
    ensure(
        !events.iter().any(|event| is_last(asked.api, event)),
        "it ends as if it were complete",
    )?;
    let text: String = before.iter().map(|event| piece(asked.api, event)).collect();
    ensure(
        !text.is_empty() && TEXT.starts_with(&text),
        "what came before is not the answer's beginning",
    )?;
    ensure(names(&last.json(), code), "it is another error")
}

fn theirs(row: &Row, answer: &Answer, status: u16, word: &str) -> Result<(), String> {
    ensure(answer.status == status, "it is another status")?;
    let body: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    ensure(
        body.to_string().contains(&format!("\"{word}\"")),
        "it says something else",
    )?;
    let bodies: Vec<&str> = row.keys.iter().filter_map(|meets| meets.body()).collect();
    let is_one_of_them = bodies.iter().any(|body| body.as_bytes() == answer.body);
    // What a cloud says is told in the words of the API that was asked.
    ensure(
        bodies.is_empty() || is_one_of_them || row.asked.vendor.is_cloud(),
        "it is not word for word what the provider said",
    )
}

fn ours(api: Api, answer: &Answer, status: u16, code: &str) -> Result<(), String> {
    ensure(answer.status == status, "it is another status")?;
    ensure(
        answer.header("content-type") == "application/json",
        "it is not JSON",
    )?;
    let body: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    ensure(api.error_code_in(&body) == code, "it is another error")
}

fn advice(advice: &Advice, headers: &HeaderMap) -> Result<(), String> {
    let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    let never = value("x-should-retry") == Some("false");
    ensure(
        never == advice.never,
        "x-should-retry is not as it should be",
    )?;
    let after: Option<u64> = value("retry-after").map(|after| after.parse().unwrap());
    let holds = match (&advice.after, after) {
        (None, None) => true,
        (Some(wanted), Some(after)) => wanted.contains(&after),
        _ => false,
    };
    ensure(holds, "retry-after is not as it should be")
}

fn is_error(event: &Event) -> bool {
    let data = event.json();
    event.name == "error" || data["type"] == "error" || data["error"] != Value::Null
}

fn is_last(api: Api, event: &Event) -> bool {
    if api == Api::Gemini {
        return event.json()["candidates"][0]["finishReason"].is_string();
    }
    event.name == api.last_event() || event.data == api.last_event()
}

/// Whether an error event gives this type or code.
fn names(event: &Value, code: &str) -> bool {
    let error = &event["error"];
    let places = [
        &error["type"],
        &error["code"],
        &error["details"]["error_code"],
        &event["code"],
        &error["status"],
    ];
    let reason = error["details"][0]["reason"].as_str();
    places.into_iter().any(|place| *place == code)
        || reason.is_some_and(|reason| reason.eq_ignore_ascii_case(code))
}
