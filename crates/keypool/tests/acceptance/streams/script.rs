//! An upstream that plays scripts: what it sends is told byte by byte, so that it can break anywhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens next on the connection.
#[derive(Clone)]
pub(super) enum Step {
    /// These bytes go out.
    Send(Vec<u8>),
    /// These bytes go out so many times, so many milliseconds apart.
    Repeat(&'static [u8], usize, u64),
    /// Nothing happens until the test goes on.
    Wait,
    /// The connection stays open and silent until the other side closes it.
    Silence,
    /// The connection is reset.
    Reset,
}

/// Plays to each request the script of its key; then it closes the connection.
pub(super) struct Upstream {
    url: String,
    stage: Arc<Stage>,
}

#[derive(Default)]
struct Stage {
    scripts: Mutex<HashMap<String, Vec<Step>>>,
    /// How many waits have been passed.
    passed: watch::Sender<usize>,
    seen: watch::Sender<Seen>,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Requests that came.
    pub(super) requests: usize,
    /// Scripts that are at their wait.
    pub(super) waiting: usize,
    /// Connections that the gateway closed while it was waited for, or after it.
    pub(super) left: usize,
}

impl Upstream {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stage = Arc::new(Stage::default());
        let playing = stage.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let stage = playing.clone();
                tokio::spawn(async move { stage.play(connection).await });
            }
        });
        Self { url, stage }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What requests with this key are answered from now on.
    pub(super) fn plays(&self, secret: &str, steps: Vec<Step>) {
        let mut scripts = self.stage.scripts.lock().unwrap();
        scripts.insert(secret.to_owned(), steps);
    }

    /// Lets the scripts that wait go on.
    pub(super) fn go_on(&self) {
        self.stage.passed.send_modify(|passed| *passed += 1);
    }

    /// Waits until what happened is as wanted.
    pub(super) async fn sees(&self, wanted: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.stage.seen.subscribe();
        let seen = tokio::time::timeout(crate::support::PATIENCE, seen.wait_for(wanted));
        *seen.await.expect("it did not happen upstream").unwrap()
    }

    pub(super) fn requests(&self) -> usize {
        self.stage.seen.borrow().requests
    }
}

impl Stage {
    async fn play(&self, mut connection: TcpStream) {
        let request = read_request(&mut connection).await;
        if request.is_empty() {
            return;
        }
        self.note(|seen| seen.requests += 1);
        let steps = {
            let scripts = self.scripts.lock().unwrap();
            let mut known = scripts.iter();
            known
                .find(|(secret, _)| request.contains(secret.as_str()))
                .map(|(_, steps)| steps.clone())
                .expect("a script for the key")
        };
        for step in steps {
            if matches!(step, Step::Reset) {
                // What was written before shall arrive.
                tokio::time::sleep(Duration::from_millis(30)).await;
                connection.set_zero_linger().unwrap();
                return;
            }
            if self.perform(step, &mut connection).await.is_err() {
                self.note(|seen| seen.left += 1);
                return;
            }
        }
        // Closed in good order: what was written arrives.
        let _ = connection.shutdown().await;
        until_closed(&mut connection).await;
    }

    async fn perform(&self, step: Step, connection: &mut TcpStream) -> std::io::Result<()> {
        match step {
            Step::Send(bytes) => connection.write_all(&bytes).await,
            Step::Repeat(bytes, times, millis) => {
                for _ in 0..times {
                    connection.write_all(bytes).await?;
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                }
                Ok(())
            }
            Step::Wait => {
                let mut passed = self.passed.subscribe();
                let before = *passed.borrow_and_update();
                self.note(|seen| seen.waiting += 1);
                tokio::select! {
                    _ = passed.wait_for(|&now| now > before) => Ok(()),
                    () = until_closed(connection) => Err(std::io::ErrorKind::BrokenPipe.into()),
                }
            }
            Step::Silence => {
                until_closed(connection).await;
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            Step::Reset => Ok(()),
        }
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        self.seen.send_modify(change);
    }
}

/// Head and body of the one request of a connection; empty if it closes before.
async fn read_request(connection: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
                return String::from_utf8(request).unwrap();
            }
        }
        match connection.read(&mut buffer).await {
            Ok(count @ 1..) => request.extend_from_slice(&buffer[..count]),
            _ => return String::new(),
        }
    }
}

async fn until_closed(connection: &mut TcpStream) {
    let mut buffer = [0; 1024];
    while let Ok(1..) = connection.read(&mut buffer).await {}
}

/// Each connection plays for one request.
const CLOSE: &str = "connection: close\r\n";

/// The head of an answer whose body is chunked, with this content type and further header lines.
pub(super) fn head(content_type: &str, more: &str) -> Step {
    send(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n{CLOSE}{more}\r\n"
    ))
}

/// The head of an event stream.
pub(super) fn stream_head() -> Step {
    head("text/event-stream", "")
}

/// Bytes as they are.
pub(super) fn send(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Send(bytes.into())
}

/// One chunk of a chunked body.
pub(super) fn chunk(bytes: impl AsRef<[u8]>) -> Step {
    let bytes = bytes.as_ref();
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    send(framed)
}

/// The end of a chunked body.
pub(super) fn end() -> Step {
    send("0\r\n\r\n")
}

/// A whole answer with its length, of any status, with further header lines.
pub(super) fn answer(status: &str, content_type: &str, more: &str, body: &[u8]) -> Step {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n{CLOSE}{more}\r\n"
    );
    send([head.as_bytes(), body].concat())
}
