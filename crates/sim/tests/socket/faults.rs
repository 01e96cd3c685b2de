//! Faults as a client meets them on its socket.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;

use crate::client::{
    ANTHROPIC, CHAT_STREAM, MESSAGE, MESSAGE_STREAM, OPENAI, config, eventually, message, open,
    openai, read, start,
};
use keypool_sim::{AnswerConfig, Fault, FaultWindow, SimServer, Spread};

async fn with_fault(fault: Fault) -> SimServer {
    let server = start(config()).await;
    server.sim().set_faults_of_all(vec![fault.into()]);
    server
}

#[tokio::test]
async fn statuses_come_in_the_shape_of_their_dialect() {
    let cases = [
        (Fault::Unauthorized, 401, "authentication_error"),
        (Fault::Forbidden, 403, "permission_error"),
        (Fault::rate_limited(7), 429, "rate_limit_error"),
        (Fault::status(500), 500, "api_error"),
        (Fault::status(503), 503, "api_error"),
        (Fault::overloaded(), 529, "overloaded_error"),
    ];
    for (fault, status, kind) in cases {
        let server = with_fault(fault.clone()).await;
        let answer = message(server.addr(), MESSAGE).await;
        assert_eq!(answer.status, status, "{fault:?}");
        assert_eq!(answer.json()["error"]["type"], kind);
        assert_eq!(answer.header("retry-after").is_some(), status == 429);
        let chat = openai(server.addr(), "/v1/chat/completions", CHAT_STREAM).await;
        assert_eq!(chat.status, status);
        assert!(chat.json()["error"]["message"].is_string());
    }
}

#[tokio::test]
async fn a_limit_can_be_told_with_a_code_or_without_any_hint() {
    let server = with_fault(Fault::rate_limited_with_code(
        "enforced_spend_limit_reached",
    ))
    .await;
    let answer = message(server.addr(), MESSAGE).await;
    assert_eq!(
        answer.json()["error"]["details"]["error_code"],
        "enforced_spend_limit_reached"
    );
    assert_eq!(answer.header("retry-after"), None);

    server.sim().set_faults_of_all(vec![
        Fault::rate_limited_with_code("insufficient_quota").into(),
    ]);
    let answer = openai(server.addr(), "/v1/chat/completions", CHAT_STREAM)
        .await
        .json();
    assert_eq!(answer["error"]["code"], "insufficient_quota");
    assert_eq!(answer["error"]["type"], "insufficient_quota");

    server
        .sim()
        .set_faults_of_all(vec![Fault::rate_limited_bare().into()]);
    let bare = message(server.addr(), MESSAGE).await;
    assert_eq!(bare.status, 429);
    assert!(!bare.head.contains("ratelimit") && !bare.head.contains("retry-after"));
}

#[tokio::test]
async fn any_answer_can_be_put_word_for_word() {
    let server = with_fault(Fault::Verbatim {
        status: 402,
        headers: vec![("x-odd".to_owned(), "yes".to_owned())],
        body: "no money".to_owned(),
    })
    .await;
    let answer = message(server.addr(), MESSAGE).await;
    assert_eq!((answer.status, answer.body.as_str()), (402, "no money"));
    assert_eq!(answer.header("x-odd"), Some("yes"));
}

#[tokio::test]
async fn garbage_html_and_a_wrong_type_are_what_they_say() {
    let server = with_fault(Fault::Garbage).await;
    let garbage = message(server.addr(), MESSAGE).await;
    assert_eq!(
        (garbage.status, garbage.header("content-type")),
        (200, Some("application/json"))
    );
    assert!(serde_json::from_str::<serde_json::Value>(&garbage.body).is_err());

    server
        .sim()
        .set_faults_of_all(vec![Fault::HtmlGateway.into()]);
    let html = message(server.addr(), MESSAGE).await;
    assert_eq!(
        (html.status, html.header("content-type")),
        (502, Some("text/html"))
    );

    server
        .sim()
        .set_faults_of_all(vec![Fault::WrongContentType.into()]);
    let wrong = message(server.addr(), MESSAGE).await;
    assert_eq!(
        wrong.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(wrong.json()["type"], "message");
}

#[tokio::test]
async fn a_reset_before_the_head_is_a_tcp_reset_without_a_byte() {
    let server = with_fault(Fault::ResetBeforeHead).await;
    let answer = message(server.addr(), MESSAGE).await;
    assert_eq!(answer.error, Some(ErrorKind::ConnectionReset));
    assert_eq!(answer.head, "");
    let counters = server.sim().counters().key(ANTHROPIC);
    assert_eq!(
        (counters.unanswered, counters.cancelled, counters.in_flight),
        (1, 0, 0)
    );
}

#[tokio::test]
async fn a_reset_mid_stream_comes_after_the_events_that_were_due() {
    let server = with_fault(Fault::ResetMidStream { after_events: 4 }).await;
    let answer = message(server.addr(), MESSAGE_STREAM).await;
    assert_eq!(answer.error, Some(ErrorKind::ConnectionReset));
    assert_eq!(answer.event_names().len(), 4);
    let plain = message(server.addr(), MESSAGE).await;
    assert_eq!(
        (plain.status, plain.error),
        (200, Some(ErrorKind::ConnectionReset))
    );
    assert!(!plain.body.is_empty() && !plain.is_whole);
}

#[tokio::test]
async fn a_close_before_the_head_is_an_end_without_a_byte() {
    let server = with_fault(Fault::CloseBeforeHead).await;
    let answer = message(server.addr(), MESSAGE).await;
    assert_eq!((answer.head.as_str(), answer.error), ("", None));
    let counters = server.sim().counters().key(ANTHROPIC);
    assert_eq!((counters.unanswered, counters.cancelled), (1, 0));
}

#[tokio::test]
async fn half_a_head_and_a_greeting_of_another_protocol_come_word_for_word_before_the_end() {
    let server = with_fault(Fault::HalfHead).await;
    let half = message(server.addr(), MESSAGE).await;
    assert_eq!(half.head, "HTTP/1.1 200 OK\r\ncontent-type: applic");
    assert_eq!(half.error, None);
    server
        .sim()
        .set_faults_of_all(vec![Fault::GarbageHead.into()]);
    let garbage = message(server.addr(), MESSAGE).await;
    assert!(garbage.head.starts_with("SSH-2.0-"), "{}", garbage.head);
    assert_eq!(garbage.error, None);
}

#[tokio::test]
async fn a_close_mid_stream_breaks_the_promise_of_the_framing_without_a_reset() {
    let server = with_fault(Fault::CloseMidStream { after_events: 4 }).await;
    let answer = message(server.addr(), MESSAGE_STREAM).await;
    assert_eq!((answer.error, answer.is_whole), (None, false));
    assert_eq!(answer.event_names().len(), 4);
    let plain = message(server.addr(), MESSAGE).await;
    assert_eq!((plain.status, plain.error), (200, None));
    assert!(!plain.body.is_empty() && !plain.is_whole);
    assert_eq!(server.sim().counters().key(ANTHROPIC).cancelled, 0);
}

#[tokio::test]
async fn with_no_event_before_it_a_break_leaves_only_the_head() {
    for fault in [
        Fault::ResetMidStream { after_events: 0 },
        Fault::CloseMidStream { after_events: 0 },
        Fault::TruncateStream { after_events: 0 },
    ] {
        let server = with_fault(fault.clone()).await;
        for body in [MESSAGE, MESSAGE_STREAM] {
            let answer = message(server.addr(), body).await;
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (200, ""),
                "{fault:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_line_without_end_goes_on_for_as_long_as_it_is_read() {
    let server = with_fault(Fault::EndlessLine { after_events: 3 }).await;
    let headers = [
        ("x-api-key", ANTHROPIC),
        ("anthropic-version", "2023-06-01"),
    ];
    let mut stream = open(
        server.addr(),
        "POST",
        "/v1/messages",
        &headers,
        MESSAGE_STREAM,
    )
    .await;
    let mut bytes = vec![0; 1024 * 1024];
    stream.read_exact(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (_, line) = text.rsplit_once("\n\n").unwrap();
    assert!(line.contains("data: ") && line.len() > 1_000_000);
    drop(stream);
    let key = || server.sim().counters().key(ANTHROPIC);
    eventually("it ends with its client", || key().in_flight == 0).await;
    assert_eq!(key().cancelled, 0);
}

#[tokio::test]
async fn a_truncated_stream_ends_cleanly_without_its_last_events() {
    let server = with_fault(Fault::TruncateStream { after_events: 5 }).await;
    let answer = message(server.addr(), MESSAGE_STREAM).await;
    assert!(answer.is_whole && answer.error.is_none());
    assert_eq!(answer.event_names().len(), 5);
    let chat = openai(server.addr(), "/v1/chat/completions", CHAT_STREAM).await;
    assert!(chat.is_whole && !chat.body.contains("[DONE]"));
    let plain = message(server.addr(), MESSAGE).await;
    assert!(plain.is_whole && serde_json::from_str::<serde_json::Value>(&plain.body).is_err());
}

#[tokio::test]
async fn an_error_can_be_the_first_event_or_a_later_one() {
    let server = with_fault(Fault::error_as_first_event()).await;
    let first = message(server.addr(), MESSAGE_STREAM).await;
    assert_eq!(
        (first.status, first.event_names()),
        (200, vec!["error".to_owned()])
    );
    assert!(first.events()[0].1.contains("overloaded_error"));
    assert!(first.is_whole);
    let plain = message(server.addr(), MESSAGE).await;
    assert_eq!(plain.status, 529);

    let later = Fault::StreamError {
        after_events: 3,
        code: Some("server_error".to_owned()),
    };
    server.sim().set_faults(OPENAI, vec![later.into()]).unwrap();
    let chat = openai(server.addr(), "/v1/chat/completions", CHAT_STREAM).await;
    let events = chat.events();
    assert_eq!(events.len(), 4);
    assert!(events[3].1.starts_with(r#"{"error":"#) && events[3].1.contains("server_error"));
    let body = r#"{"model":"gpt-test","stream":true,"input":"hi"}"#;
    let response = openai(server.addr(), "/v1/responses", body).await;
    assert_eq!(response.events()[3].0, "error");
    assert!(response.events()[3].1.contains(r#""sequence_number":3"#));
}

#[tokio::test]
async fn a_stalled_stream_stays_open_and_is_no_cancellation_when_the_client_gives_up() {
    let server = with_fault(Fault::StallStream { after_events: 4 }).await;
    let headers = [
        ("x-api-key", ANTHROPIC),
        ("anthropic-version", "2023-06-01"),
    ];
    let mut stream = open(
        server.addr(),
        "POST",
        "/v1/messages",
        &headers,
        MESSAGE_STREAM,
    )
    .await;
    let silent = tokio::time::timeout(Duration::from_millis(300), read(&mut stream)).await;
    assert!(silent.is_err());
    assert_eq!(server.sim().counters().key(ANTHROPIC).in_flight, 1);
    drop(stream);
    eventually("the stream ends", || {
        server.sim().counters().key(ANTHROPIC).in_flight == 0
    })
    .await;
    assert_eq!(server.sim().counters().key(ANTHROPIC).cancelled, 0);
}

#[tokio::test]
async fn a_hang_never_answers_and_is_counted_in_flight_meanwhile() {
    let server = with_fault(Fault::Hang).await;
    let headers = [
        ("x-api-key", ANTHROPIC),
        ("anthropic-version", "2023-06-01"),
    ];
    let stream = open(server.addr(), "POST", "/v1/messages", &headers, MESSAGE).await;
    let key = || server.sim().counters().key(ANTHROPIC);
    eventually("the request arrives", || key().in_flight == 1).await;
    assert_eq!(key().unanswered, 1);
    drop(stream);
    eventually("it ends with its client", || key().in_flight == 0).await;
}

#[tokio::test]
async fn slow_heads_and_slow_events_are_late_but_whole() {
    let delay = Duration::from_millis(150);
    let server = with_fault(Fault::SlowHead { delay }).await;
    let started = Instant::now();
    assert_eq!(message(server.addr(), MESSAGE).await.status, 200);
    assert!(started.elapsed() >= delay);
    server
        .sim()
        .set_faults_of_all(vec![Fault::SlowEvents { delay }.into()]);
    let started = Instant::now();
    let answer = message(server.addr(), MESSAGE_STREAM).await;
    assert_eq!(answer.event_names().last().unwrap(), "message_stop");
    assert!(started.elapsed() >= 3 * delay);
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_and_pays_only_for_what_was_produced() {
    let answer = AnswerConfig {
        output_tokens: Spread::Fixed(1000),
        chunk_tokens: 1,
        chunk_delay: Duration::from_millis(20),
        ..AnswerConfig::default()
    };
    let server = start(config().with_answer(answer)).await;
    let headers = [
        ("x-api-key", ANTHROPIC),
        ("anthropic-version", "2023-06-01"),
    ];
    let body = MESSAGE_STREAM.replace("100", "1000");
    let stream = open(server.addr(), "POST", "/v1/messages", &headers, &body).await;
    let key = || server.sim().counters().key(ANTHROPIC);
    eventually("a few tokens", || key().output_tokens >= 3).await;
    drop(stream);
    eventually("the cancellation", || key().cancelled == 1).await;
    assert!(key().output_tokens < 100);
    assert_eq!((key().in_flight, key().completed), (0, 0));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_is_counted_too() {
    let latency = AnswerConfig {
        latency_ms: Spread::Fixed(60_000),
        ..AnswerConfig::default()
    };
    let server = start(config().with_answer(latency)).await;
    let headers = [
        ("x-api-key", ANTHROPIC),
        ("anthropic-version", "2023-06-01"),
    ];
    let stream = open(server.addr(), "POST", "/v1/messages", &headers, MESSAGE).await;
    let key = || server.sim().counters().key(ANTHROPIC);
    eventually("the request arrives", || key().in_flight == 1).await;
    drop(stream);
    eventually("the cancellation", || key().cancelled == 1).await;
    assert_eq!(key().in_flight, 0);
}

#[tokio::test]
async fn a_fault_for_the_next_requests_ends_by_itself() {
    let server = start(config()).await;
    let window = FaultWindow::next(2, Fault::status(500));
    server.sim().set_faults(ANTHROPIC, vec![window]).unwrap();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(message(server.addr(), MESSAGE).await.status);
    }
    assert_eq!(statuses, [500, 500, 200]);
}

#[tokio::test]
async fn a_hang_over_http2_ends_when_the_client_cancels_its_stream() {
    let server = with_fault(Fault::Hang).await;
    let stream = tokio::net::TcpStream::connect(server.addr()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let request = http::Request::post("http://sim/v1/messages")
        .header("x-api-key", ANTHROPIC)
        .header("anthropic-version", "2023-06-01")
        .body(http_body_util::Full::new(bytes::Bytes::from(MESSAGE)))
        .unwrap();
    let answer = tokio::spawn(sender.send_request(request));
    let key = || server.sim().counters().key(ANTHROPIC);
    eventually("the request arrives", || key().in_flight == 1).await;
    answer.abort();
    eventually("it ends with its stream", || key().in_flight == 0).await;
    assert_eq!(server.sim().counters().open_connections, 1);
}
