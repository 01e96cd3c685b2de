//! A client that shows bytes and resets as they are, without a library's opinion on either.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use keypool_sim::{Dialect, Limits, SimConfig, SimServer};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const ANTHROPIC: &str = "sk-ant-test";
pub(crate) const OPENAI: &str = "sk-proj-openai-test";
pub(crate) const GEMINI: &str = "AIzaSy-gemini-test";

/// One key of each dialect, without limits.
pub(crate) fn config() -> SimConfig {
    SimConfig::anthropic(&[ANTHROPIC], Limits::NONE)
        .with_keys(Dialect::OpenAi, &[OPENAI], Limits::NONE)
        .with_keys(Dialect::Gemini, &[GEMINI], Limits::NONE)
}

pub(crate) async fn start(config: SimConfig) -> SimServer {
    SimServer::start(([127, 0, 0, 1], 0).into(), config)
        .await
        .unwrap()
}

/// What came back on one connection.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// The body without its chunk framing, as text.
    pub(crate) body: String,
    /// The same as it came.
    pub(crate) bytes: Vec<u8>,
    /// The body was framed in chunks and its last chunk came, or it has its whole declared length.
    pub(crate) is_whole: bool,
    /// How the connection ended, if not cleanly.
    pub(crate) error: Option<io::ErrorKind>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The events of a stream: name (empty where there is none) and data.
    pub(crate) fn events(&self) -> Vec<(String, String)> {
        let event = |block: &str| {
            let field = |name: &str| {
                block
                    .lines()
                    .find_map(|line| line.strip_prefix(name))
                    .unwrap_or_default()
                    .to_owned()
            };
            (field("event: "), field("data: "))
        };
        self.body
            .split("\n\n")
            .filter(|block| !block.is_empty())
            .map(event)
            .collect()
    }

    pub(crate) fn event_names(&self) -> Vec<String> {
        self.events().into_iter().map(|(name, _)| name).collect()
    }
}

/// Sends one request on a connection of its own and reads until the end.
pub(crate) async fn send(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut stream = open(addr, method, path, headers, body).await;
    read(&mut stream).await
}

/// Sends one request and leaves its answer unread.
pub(crate) async fn open(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let (lines, length) = (lines.concat(), body.len());
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n{lines}\
         content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads an answer until the connection ends, for at most five seconds.
pub(crate) async fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let limit = Duration::from_secs(5);
    let ended = tokio::time::timeout(limit, stream.read_to_end(&mut bytes)).await;
    let error = match ended {
        Ok(result) => result.err().map(|error| error.kind()),
        Err(_) => Some(io::ErrorKind::TimedOut),
    };
    let end = find(&bytes, b"\r\n\r\n");
    let (head, rest) = match end {
        Some(end) => (&bytes[..end], &bytes[end + 4..]),
        None => (&bytes[..], &[][..]),
    };
    let head = String::from_utf8(head.to_vec()).unwrap();
    let status = head
        .get(9..12)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let mut answer = Answer {
        status,
        head,
        body: String::new(),
        bytes: rest.to_vec(),
        is_whole: false,
        error,
    };
    if answer.header("transfer-encoding") == Some("chunked") {
        (answer.bytes, answer.is_whole) = unchunk(rest);
    } else {
        let length = answer
            .header("content-length")
            .and_then(|length| length.parse().ok());
        answer.is_whole = length == Some(rest.len());
    }
    answer.body = String::from_utf8_lossy(&answer.bytes).into_owned();
    answer
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(line) = find(rest, b"\r\n") {
        let size = std::str::from_utf8(&rest[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = rest.get(line + 2..line + 2 + size) else {
            break;
        };
        body.extend_from_slice(chunk);
        rest = rest.get(line + 2 + size + 2..).unwrap_or_default();
    }
    (body, false)
}

pub(crate) const MESSAGE: &str =
    r#"{"model":"claude-test","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}"#;
pub(crate) const MESSAGE_STREAM: &str = r#"{"model":"claude-test","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
pub(crate) const CHAT: &str = r#"{"model":"gpt-test","messages":[{"role":"user","content":"hi"}]}"#;
pub(crate) const CHAT_STREAM: &str =
    r#"{"model":"gpt-test","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;

pub(crate) const GENERATE: &str = r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#;

/// Asks a Gemini model for `method`, which may have a query behind it, with the test key.
pub(crate) async fn gemini(addr: SocketAddr, method: &str, body: &str) -> Answer {
    let path = format!("/v1beta/models/gemini-test:{method}");
    send(addr, "POST", &path, &[("x-goog-api-key", GEMINI)], body).await
}

/// Sends a Messages request with the test key.
pub(crate) async fn message(addr: SocketAddr, body: &str) -> Answer {
    let headers = [
        ("x-api-key", ANTHROPIC),
        ("anthropic-version", "2023-06-01"),
    ];
    send(addr, "POST", "/v1/messages", &headers, body).await
}

/// Sends a request in the OpenAI dialect with the test key.
pub(crate) async fn openai(addr: SocketAddr, path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {OPENAI}");
    send(addr, "POST", path, &[("authorization", &bearer)], body).await
}

/// Waits until `done`, for at most five seconds.
pub(crate) async fn eventually(what: &str, done: impl Fn() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
