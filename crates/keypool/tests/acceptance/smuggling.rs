//! Requests that two readers could take differently: where one ends, whom it is for. Whoever stands before or
//! behind keypool may be the other reader, so each has one meaning or none.

use crate::support::{Api, Raw, Setup, post, post_whole};
use Framing::{OneServed, Refused};

/// What must never reach a provider: the prompt of a request that is hidden in another one's body.
const SMUGGLED: &str = "smuggled";

const CHUNKED: &str = "transfer-encoding: chunked\r\n";

/// The body of an honest request.
fn honest() -> String {
    Api::Messages.body().to_string()
}

/// A whole request that hides behind another one.
fn smuggled() -> String {
    let hidden = post_whole(&Api::Messages.body_of(SMUGGLED));
    String::from_utf8(hidden).unwrap()
}

fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

/// How a message of unclear framing ends: refused, or taken in the one way that the standard allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// This status, nothing served.
    Refused(u16),
    /// The request in front is served, and nothing behind it.
    OneServed,
}

type Case = (&'static str, Vec<u8>, Framing);

/// The whole body in one chunk whose size is written like this, with what follows the size.
fn chunk(size: &str) -> String {
    format!("{size}{}\r\n0\r\n\r\n", honest())
}

/// Messages that state their length twice, or not as a number.
fn unclear_lengths() -> Vec<Case> {
    let body = honest();
    let length = format!("content-length: {}\r\n", body.len());
    let plain = |headers: &str| post(headers, &format!("{body}{}", smuggled()));
    let chunks = |headers: &str| post(headers, &format!("{}{}", chunked(&body), smuggled()));
    let either = |headers: &str| (plain(headers), Refused(400));
    let both = |headers: &str| (chunks(headers), OneServed);
    let coded = |headers: &str| (chunks(headers), Refused(400));
    let cases = [
        // RFC 9112, 6.1 and 6.3: served by its chunks alone, and the connection ends.
        (
            "both lengths",
            both(&format!("content-length: 5\r\n{CHUNKED}")),
        ),
        (
            "both, the other way round",
            both(&format!("{CHUNKED}content-length: 5\r\n")),
        ),
        (
            "two lengths",
            either(&format!("{length}content-length: 5\r\n")),
        ),
        (
            "a list of lengths",
            either(&format!("content-length: {}, 5\r\n", body.len())),
        ),
        ("a signed length", either("content-length: +5\r\n")),
        ("a negative length", either("content-length: -1\r\n")),
        ("a hexadecimal length", either("content-length: 0x5\r\n")),
        (
            "a length beyond 64 bits",
            either("content-length: 18446744073709551616\r\n"),
        ),
        (
            "a length beyond any memory",
            (
                plain("content-length: 18446744073709551615\r\n"),
                Refused(431),
            ),
        ),
        (
            "an unknown coding",
            coded("transfer-encoding: xchunked\r\n"),
        ),
        (
            "chunks within a coding",
            coded("transfer-encoding: chunked, identity\r\n"),
        ),
        (
            "a second line that takes the chunks back",
            coded(&format!("{CHUNKED}transfer-encoding: identity\r\n")),
        ),
        (
            "a space before the colon",
            coded("transfer-encoding : chunked\r\n"),
        ),
        (
            "a vertical tab before the value",
            coded("transfer-encoding:\u{b}chunked\r\n"),
        ),
    ];
    let cases = cases.into_iter();
    cases
        .map(|(shape, (bytes, framing))| (shape, bytes, framing))
        .collect()
}

/// Messages whose lines end where some readers see an end and others do not, or that name two hosts.
fn unclear_heads() -> Vec<Case> {
    let body = honest();
    let length = format!("content-length: {}\r\n", body.len());
    let whole = |line: &str, headers: &str| {
        format!("{line}\r\n{headers}{length}\r\n{body}{}", smuggled()).into_bytes()
    };
    let line = "POST /v1/messages HTTP/1.1";
    let headers = |more: &str| whole(line, &format!("host: localhost\r\n{more}"));
    [
        ("a folded line", headers("x: a\r\n b\r\n")),
        (
            "a carriage return within a value",
            headers("x: a\rcontent-length: 5\r\n"),
        ),
        ("a NUL within a value", headers("x: a\0b\r\n")),
        ("a NUL within a name", headers("x\0: a\r\n")),
        (
            "chunks in HTTP/1.0",
            whole("POST /v1/messages HTTP/1.0", CHUNKED),
        ),
        ("two hosts", headers("host: other\r\n")),
        ("no host", whole(line, "")),
        (
            "a target that is not the host",
            whole(
                "POST http://other/v1/messages HTTP/1.1",
                "host: localhost\r\n",
            ),
        ),
    ]
    .map(|(shape, bytes)| (shape, bytes, Refused(400)))
    .into()
}

/// Bodies in chunks of unclear sizes.
fn unclear_chunks() -> Vec<Case> {
    let size = format!("{:x}", honest().len());
    [
        (
            "a size beyond 64 bits",
            chunk(&format!("1{}\r\n", "0".repeat(16))),
        ),
        ("a signed size", chunk(&format!("+{size}\r\n"))),
        ("a size with a prefix", chunk(&format!("0x{size}\r\n"))),
        ("a size after a space", chunk(&format!(" {size}\r\n"))),
        ("no size", chunk("\r\n")),
        (
            "a size that ends with a line feed alone",
            chunk(&format!("{size}\n")),
        ),
        (
            "an extension that ends with a line feed alone",
            chunk(&format!("{size};a\n")),
        ),
        ("a chunk longer than it says", chunk("2\r\n")),
        (
            "extensions without end",
            format!("{}0\r\n\r\n", "1;aaaaaaaaaaaaaaa\r\n \r\n".repeat(2000)),
        ),
        (
            "trailers without end",
            format!(
                "{size}\r\n{}\r\n0\r\n{}\r\n",
                honest(),
                "x: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(1000)
            ),
        ),
    ]
    .map(|(shape, chunks)| {
        (
            shape,
            post(CHUNKED, &format!("{chunks}{}", smuggled())),
            Refused(400),
        )
    })
    .into()
}

#[tokio::test]
async fn no_request_can_be_hidden_in_another_one() {
    let world = Setup::anthropic(1).start().await;
    let mut served = 0;
    let unclear = [unclear_lengths(), unclear_heads(), unclear_chunks()];
    for (shape, bytes, framing) in unclear.into_iter().flatten() {
        // One answer, then the end of the connection: nothing behind it was taken for a request.
        let statuses = Raw::sent(&world, &bytes).await.statuses().await;
        let expected = match framing {
            Refused(status) => status,
            OneServed => {
                served += 1;
                200
            }
        };
        assert_eq!(statuses, [expected], "{shape}");
        assert_eq!(world.received().len(), served, "{shape}");
    }
    for received in world.received() {
        let body = String::from_utf8_lossy(&received.body);
        assert!(!body.contains(SMUGGLED), "{body}");
        let framing = received
            .headers
            .iter()
            .filter(|(name, _)| name == "content-length" || name == "transfer-encoding");
        assert_eq!(framing.count(), 1, "{:?}", received.headers);
    }
    world.ask(Api::Messages).await.assert_ok();
}

#[tokio::test]
async fn what_the_standard_allows_is_served_as_one_request() {
    let world = Setup::anthropic(1).start().await;
    let body = honest();
    let length = format!("content-length: {}\r\n", body.len());
    let with_line_feeds = String::from_utf8(post(&length, ""))
        .unwrap()
        .replace("\r\n", "\n");
    let served: [(&str, Vec<u8>); 5] = [
        // RFC 9112, 2.2.
        ("lines that end with a line feed", format!("{with_line_feeds}{body}").into_bytes()),
        ("the same length twice", post(&format!("{length}{length}"), &body)),
        (
            "a chunk with an extension",
            post(
                CHUNKED,
                &format!("{:x};a=b\r\n{body}\r\n0\r\n\r\n", body.len()),
            ),
        ),
        (
            "trailers",
            post(
                CHUNKED,
                &format!("{:x}\r\n{body}\r\n0\r\nx: y\r\n\r\n", body.len()),
            ),
        ),
        (
            "a target with its host",
            format!("POST http://localhost/v1/messages HTTP/1.1\r\nhost: localhost\r\n{length}\r\n{body}")
                .into_bytes(),
        ),
    ];
    for (number, (shape, bytes)) in served.iter().enumerate() {
        let answer = Raw::sent(&world, bytes).await.answer().await;
        assert_eq!(answer.status, 200, "{shape}: {answer:?}");
        assert_eq!(world.received().len(), number + 1, "{shape}");
    }
}

#[tokio::test]
async fn a_request_line_that_is_none_and_a_head_beyond_its_bounds_are_refused() {
    let world = Setup::anthropic(1).start().await;
    let host = "host: localhost\r\n";
    for (shape, bytes, status) in [
        (
            "a method in lower case",
            format!("post /v1/messages HTTP/1.1\r\n{host}\r\n"),
            405,
        ),
        (
            "no method",
            format!("PO(ST /v1/messages HTTP/1.1\r\n{host}\r\n"),
            400,
        ),
        (
            "an unknown version",
            format!("GET /health HTTP/1.2\r\n{host}\r\n"),
            400,
        ),
        ("no version", "GET /health\r\n\r\n".to_owned(), 400),
        (
            "two spaces",
            format!("GET  /health HTTP/1.1\r\n{host}\r\n"),
            400,
        ),
        (
            "a tunnel",
            "CONNECT api.anthropic.com:443 HTTP/1.1\r\nhost: api.anthropic.com:443\r\n\r\n"
                .to_owned(),
            404,
        ),
        (
            "another root",
            format!("GET //health HTTP/1.1\r\n{host}\r\n"),
            404,
        ),
        (
            "a way around",
            format!("GET /x/../health HTTP/1.1\r\n{host}\r\n"),
            404,
        ),
        (
            "a hundred and one headers",
            format!(
                "GET /health HTTP/1.1\r\n{host}{}\r\n",
                "x: y\r\n".repeat(100)
            ),
            431,
        ),
        (
            "a header of 70 kB",
            format!(
                "GET /health HTTP/1.1\r\n{host}x: {}\r\n\r\n",
                "y".repeat(70_000)
            ),
            431,
        ),
        (
            "a target of 70 kB",
            format!("GET /{} HTTP/1.1\r\n{host}\r\n", "y".repeat(70_000)),
            431,
        ),
    ] {
        let mut client = Raw::sent(&world, bytes.as_bytes()).await;
        assert_eq!(client.answer().await.status, status, "{shape}");
        if matches!(status, 400 | 431) {
            assert!(client.rest().await.0.is_empty(), "{shape}");
        }
    }
    let most = format!(
        "GET /health HTTP/1.1\r\n{host}{}\r\n",
        "x: y\r\n".repeat(99)
    );
    assert_eq!(
        Raw::sent(&world, most.as_bytes())
            .await
            .answer()
            .await
            .status,
        200
    );
    assert!(world.received().is_empty());
}
