//! What goes wrong with each key, and when.
//!
//! Every fault strikes a small share of the requests, so that another key serves them; with eight keys all of
//! them together meet about one request in twenty. A fault that begins an answer and does not end it strikes
//! streams alone, after some text: only there do the provider's counts and the gateway's have to agree on an
//! answer that never came to its end.

use std::time::Duration;

use keypool_sim::{Fault, FaultWindow};

use crate::client::STREAMED_MODEL;

/// Each key in turn is refused, one after the other.
const REFUSED_EVERY: Duration = Duration::from_secs(5);

/// For so long.
const REFUSED_FOR: Duration = Duration::from_secs(2);

/// Each stream has sent some text before so many events.
const AFTER_TEXT: u64 = 6;

/// The script of the `place`-th of `keys` keys.
pub(crate) fn script(place: usize, keys: usize, duration: Duration) -> Vec<FaultWindow> {
    let refused = refusals(place, keys, duration);
    let shares = anywhere()
        .into_iter()
        .map(|(fault, share)| FaultWindow::always(fault).share(share));
    let breaks = in_streams().into_iter().map(|(fault, share)| {
        FaultWindow::always(fault)
            .share(share)
            .for_models(&[STREAMED_MODEL])
    });
    refused.into_iter().chain(shares).chain(breaks).collect()
}

/// Before an answer begins.
fn anywhere() -> Vec<(Fault, f64)> {
    vec![
        (Fault::status(500), 0.008),
        (Fault::status(503), 0.004),
        (Fault::overloaded(), 0.006),
        (Fault::HtmlGateway, 0.004),
        (Fault::Garbage, 0.004),
        (Fault::ResetBeforeHead, 0.006),
        (Fault::CloseBeforeHead, 0.004),
        (Fault::HalfHead, 0.002),
        (Fault::GarbageHead, 0.002),
        (Fault::Hang, 0.001),
        (Fault::rate_limited(1), 0.001),
    ]
}

/// After a stream has begun.
fn in_streams() -> Vec<(Fault, f64)> {
    let after_events = AFTER_TEXT;
    let code = None;
    vec![
        (Fault::ResetMidStream { after_events }, 0.002),
        (Fault::CloseMidStream { after_events }, 0.002),
        (Fault::TruncateStream { after_events }, 0.002),
        (Fault::StallStream { after_events }, 0.001),
        (Fault::StreamError { after_events, code }, 0.002),
    ]
}

/// The times at which a key is refused.
fn refusals(place: usize, keys: usize, duration: Duration) -> Vec<FaultWindow> {
    let turn = |count: usize| REFUSED_EVERY * u32::try_from(count).unwrap_or(u32::MAX);
    let mut windows = Vec::new();
    let mut from = turn(place);
    while from < duration {
        windows.push(FaultWindow::between(
            from,
            from + REFUSED_FOR,
            Fault::Unauthorized,
        ));
        from += turn(keys);
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_at_a_time_is_refused_and_each_has_its_turn() {
        let keys = 4;
        let mut windows: Vec<(Duration, usize)> = (0..keys)
            .flat_map(|place| {
                let windows = refusals(place, keys, Duration::from_mins(1));
                windows.into_iter().map(move |window| (window.from, place))
            })
            .collect();
        windows.sort();
        assert_eq!(windows.len(), 12);
        for (turn, (from, place)) in windows.iter().enumerate() {
            assert_eq!(*place, turn % keys);
            assert_eq!(*from, REFUSED_EVERY * u32::try_from(turn).unwrap());
        }
    }

    #[test]
    fn all_faults_together_are_few() {
        let all = anywhere().into_iter().chain(in_streams());
        let share: f64 = all.map(|(_, share)| share).sum();
        assert!(share < 0.06, "{share}");
    }
}
