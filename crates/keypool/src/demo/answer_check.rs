//! Whether an answer is what the provider said, to the last word.
//!
//! Written without keypool's own reader of streams: a judge that shares code with the judged would
//! share its mistakes.

use serde_json::Value;

/// What the simulated provider answers, always.
pub(super) const TEXT: &str = "There is room: this answer came through a key that could serve it.";

/// Checks a whole body; the error says what is wrong.
pub(super) fn check(body: &[u8], is_stream: bool) -> Result<(), String> {
    let body = std::str::from_utf8(body).map_err(|_| "an answer that is no text".to_owned())?;
    let text = if is_stream {
        text_of_stream(body)?
    } else {
        text_of_message(body)?
    };
    if text == TEXT {
        Ok(())
    } else {
        Err(format!("an answer with other words: {text:?}"))
    }
}

fn text_of_message(body: &str) -> Result<String, String> {
    let message = json(body)?;
    Ok(string(&message, "/content/0/text"))
}

/// Joins the pieces of a stream that begins and ends as it must.
fn text_of_stream(body: &str) -> Result<String, String> {
    let events: Vec<Value> = body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(json)
        .collect::<Result<_, _>>()?;
    let kind = |event: Option<&Value>| event.map(|event| string(event, "/type"));
    if kind(events.first()).as_deref() != Some("message_start") {
        return Err("a stream that does not begin with message_start".to_owned());
    }
    if kind(events.last()).as_deref() != Some("message_stop") || !body.ends_with("\n\n") {
        return Err("a stream that does not end with message_stop".to_owned());
    }
    Ok(events
        .iter()
        .map(|event| string(event, "/delta/text"))
        .collect())
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("an answer that is no JSON: {error}"))
}

fn string(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(data: &Value) -> String {
        format!("event: {}\ndata: {data}\n\n", string(data, "/type"))
    }

    fn delta(text: &str) -> String {
        event(&json!({ "type": "content_block_delta", "delta": { "text": text } }))
    }

    #[test]
    fn a_whole_stream_passes_and_each_of_its_prefixes_fails() {
        let (first, second) = TEXT.split_at(20);
        let events = [
            event(&json!({ "type": "message_start" })),
            delta(first),
            delta(second),
            event(&json!({ "type": "message_stop" })),
        ];
        assert_eq!(check(events.concat().as_bytes(), true), Ok(()));
        for kept in 0..events.len() {
            assert!(
                check(events[..kept].concat().as_bytes(), true).is_err(),
                "{kept}"
            );
        }
    }

    #[test]
    fn a_stream_that_lacks_or_repeats_a_piece_fails() {
        let (first, second) = TEXT.split_at(20);
        for pieces in [vec![first], vec![first, first, second], vec![second, first]] {
            let pieces: String = pieces.into_iter().map(delta).collect();
            let start = event(&json!({ "type": "message_start" }));
            let stop = event(&json!({ "type": "message_stop" }));
            assert!(check(format!("{start}{pieces}{stop}").as_bytes(), true).is_err());
        }
    }

    #[test]
    fn a_plain_answer_must_have_the_providers_words() {
        let message = |text: &str| json!({ "content": [{ "text": text }] }).to_string();
        assert_eq!(check(message(TEXT).as_bytes(), false), Ok(()));
        assert!(check(message("other words").as_bytes(), false).is_err());
        assert!(check(b"<html>", false).is_err());
    }
}
