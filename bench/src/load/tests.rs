//! The generator against the real upstream, and against servers that misbehave.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};

use super::*;
use crate::payload::{Expected, StreamPlan};

const SHORT: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(10);

/// A server that ends with the test's process.
fn serving(serve: impl FnOnce(TcpListener) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || serve(listener));
    address
}

fn upstream() -> SocketAddr {
    serving(|listener| crate::upstream::serve(listener).unwrap())
}

#[test]
fn a_closed_loop_counts_whole_answers_and_every_one_of_them() {
    let target = upstream();
    let mut generator = Generator::connect(target, 4, Request::plain(target)).unwrap();
    let tally = generator.closed_loop(SHORT).unwrap();
    assert!(tally.answers > 0);
    assert_eq!((tally.failures, tally.first_failure), (0, None));
    assert_eq!(tally.total.len() as u64, tally.answers);
    assert!(tally.answers_after <= 4);
}

#[test]
fn an_open_loop_sends_exactly_what_is_scheduled() {
    let target = upstream();
    let plan = StreamPlan {
        events: 20,
        together: 1,
        gap: Duration::ZERO,
    };
    let mut generator = Generator::connect(target, 8, Request::stream(target, plan)).unwrap();
    let tally = generator.open_loop(Schedule::new(1000, SHORT)).unwrap();
    assert_eq!((tally.answers, tally.events, tally.failures), (50, 1000, 0));
    assert_eq!(tally.lateness.len(), 50);
    for (first_byte, total) in tally.first_byte.iter().zip(&tally.total) {
        assert!(first_byte <= total);
    }
}

#[test]
fn requests_wait_for_the_only_connection_without_being_forgotten() {
    let target = upstream();
    let plan = StreamPlan {
        events: 6,
        together: 1,
        gap: Duration::from_millis(1),
    };
    let mut generator = Generator::connect(target, 1, Request::stream(target, plan)).unwrap();
    // One answer takes at least 5 ms, and one is due every millisecond.
    let tally = generator
        .open_loop(Schedule::new(1000, Duration::from_millis(20)))
        .unwrap();
    assert_eq!(tally.answers, 20);
    // The last was due at 19 ms and could not be finished before 100 ms.
    assert!(*tally.total.last().unwrap() >= Duration::from_millis(81));
}

#[test]
fn held_streams_all_bring_their_events() {
    let target = upstream();
    let plan = StreamPlan {
        events: 100_000,
        together: 1,
        gap: Duration::from_millis(1),
    };
    let mut generator = Generator::connect(target, 20, Request::stream(target, plan)).unwrap();
    generator.open_streams(6, PATIENCE).unwrap();
    assert!(
        generator
            .connections
            .iter()
            .all(|connection| connection.events() >= 6)
    );
}

#[test]
fn a_wrong_answer_is_a_failure_and_many_end_the_run() {
    let target = upstream();
    let request = Request {
        expected: Expected::Bytes(1),
        ..Request::plain(target)
    };
    let mut generator = Generator::connect(target, 1, request).unwrap();
    let message = generator.once(PATIENCE).unwrap_err().to_string();
    assert!(message.contains("bytes instead of 1"), "{message}");
    let message = generator.closed_loop(PATIENCE).unwrap_err().to_string();
    assert!(message.contains("100 requests failed"), "{message}");
}

#[test]
fn a_status_that_is_not_200_is_a_failure() {
    let target = serving(|listener| {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 16]).unwrap();
        stream
            .write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
        let _replacement = listener.accept().unwrap();
    });
    let mut generator = Generator::connect(target, 1, Request::plain(target)).unwrap();
    let message = generator.once(PATIENCE).unwrap_err().to_string();
    assert!(message.contains("503"), "{message}");
}

#[test]
fn a_connection_closed_before_its_answer_is_a_failure_and_replaced() {
    let target = serving(|listener| {
        for stream in listener.incoming() {
            drop(stream.unwrap());
        }
    });
    let mut generator = Generator::connect(target, 1, Request::plain(target)).unwrap();
    assert!(generator.once(PATIENCE).is_err());
    assert_eq!(generator.idle.len(), 1);
}
