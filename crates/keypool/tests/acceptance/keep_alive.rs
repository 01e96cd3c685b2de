//! Connections that a provider closes while they are idle, at the moment at which a request is written to them.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::cloud::{Reply, read};
use crate::support::{Api, Setup, World, openai_key};

/// What the provider does with the second request on a connection.
#[derive(Clone, Copy)]
enum Second {
    /// Closes the connection, as one does whose patience has just ended.
    Closes,
    /// The same with a reset.
    Resets,
    /// Begins to answer, and closes the connection.
    BreaksOff,
}

/// A provider that serves the first request of each connection, and how many have come on each so far.
struct Provider {
    url: String,
    requests: Arc<Mutex<Vec<usize>>>,
}

impl Provider {
    async fn start(second: Second) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<usize>>> = Arc::default();
        let counted = requests.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let number = {
                    let mut counted = counted.lock().unwrap();
                    counted.push(0);
                    counted.len() - 1
                };
                tokio::spawn(serve(connection, second, counted.clone(), number));
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> Vec<usize> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(
    mut connection: TcpStream,
    second: Second,
    counted: Arc<Mutex<Vec<usize>>>,
    number: usize,
) {
    while read(&mut connection).await.is_some() {
        let so_far = {
            let mut counted = counted.lock().unwrap();
            counted[number] += 1;
            counted[number]
        };
        if so_far == 1 {
            connection
                .write_all(&Reply::chat().kept_alive())
                .await
                .unwrap();
            continue;
        }
        match second {
            Second::Closes => {}
            Second::Resets => connection.set_zero_linger().unwrap(),
            Second::BreaksOff => connection.write_all(b"HTTP/1.1 200 O").await.unwrap(),
        }
        return;
    }
}

/// One key and one attempt, and two requests one after the other: the second meets the provider's end of the
/// connection.
async fn asked_twice(
    second: Second,
    change: impl FnOnce(Setup) -> Setup,
) -> (Provider, World, u16) {
    let provider = Provider::start(second).await;
    let setup = Setup::openai(1)
        .key(1, "baseUrl", provider.url.as_str())
        .set("/ApiKeyPool/retry/maxAttempts", 1);
    let world = change(setup).start().await;
    world.ask(Api::Chat).await.assert_ok();
    let answer = world.ask(Api::Chat).await;
    assert_eq!(answer.header("x-keypool-attempts"), "1");
    (provider, world, answer.status)
}

async fn score(world: &World) -> u64 {
    world.score(&openai_key(1)).await
}

#[tokio::test]
async fn a_request_that_meets_the_end_of_an_idle_connection_goes_out_on_a_new_one() {
    for second in [Second::Closes, Second::Resets] {
        let (provider, world, status) = asked_twice(second, |setup| setup).await;
        assert_eq!(status, 200);
        assert_eq!(provider.requests(), [2, 1]);
        assert_eq!(score(&world).await, 100);
        let details = world.details("openai", &openai_key(1)).await;
        assert_eq!(details["metrics"]["requests"], 2);
        assert_eq!(details["lastError"], json!(null));
    }
}

#[tokio::test]
async fn it_does_not_where_nothing_may_run_twice_and_the_key_is_not_to_blame() {
    let never = |setup: Setup| setup.set("/ApiKeyPool/retry/maxReplays", 0);
    let (provider, world, status) = asked_twice(Second::Closes, never).await;
    assert_eq!(status, 502);
    assert_eq!(provider.requests(), [2]);
    assert_eq!(score(&world).await, 100);
}

#[tokio::test]
async fn a_connection_that_ends_within_an_answer_was_not_idle() {
    let (provider, world, status) = asked_twice(Second::BreaksOff, |setup| setup).await;
    assert_eq!(status, 502);
    assert_eq!(provider.requests(), [2]);
    assert_eq!(score(&world).await, 95);
}
