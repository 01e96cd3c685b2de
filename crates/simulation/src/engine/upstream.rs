//! The network's and the provider's part: when what reaches whom.

use std::time::Duration;

use keypool_pool::{FaultKind, Timestamp};
use keypool_sim::model::{BreakKind, Ending, Oddity, Reply, Request as SimRequest};
use keypool_sim::{AnswerConfig, Spread};
use keypool_wire::{judge, quota_owner, quota_readings, quota_readings_of_error};

use super::{Close, Engine, Event, sim_time};
use crate::translate::{self, SimHeaders};
use crate::world;

/// Pieces in which a long answer is written: enough for its output to be counted while it lasts.
const PIECES_MAX: u64 = 8;

impl Engine<'_> {
    /// A request has reached the provider.
    pub(super) fn at_provider(&mut self, id: u64) {
        let now = sim_time(self.now);
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let (ask, attempts) = (&request.ask, request.attempts);
        let Some(attempt) = &mut request.attempt else {
            return;
        };
        let pieces = if ask.stream {
            ask.output_tokens.clamp(1, PIECES_MAX)
        } else {
            1
        };
        let writing = Duration::from_micros(ask.writing_us);
        let (head_us, pace) = if ask.stream {
            let pace = writing / u32::try_from(pieces).unwrap_or(1);
            (ask.head_us, pace)
        } else {
            // A plain answer begins when it is whole.
            (ask.head_us + ask.writing_us, Duration::ZERO)
        };
        self.model.set_answer(AnswerConfig {
            latency_ms: Spread::Fixed(head_us / 1000),
            output_tokens: Spread::Fixed(ask.output_tokens),
            chunk_tokens: ask.output_tokens.div_ceil(pieces).max(1),
            chunk_delay: pace,
            text: None,
        });
        let mut wanted = SimRequest::plain(&ask.model, ask.input_tokens, ask.max_tokens);
        if ask.stream {
            wanted = wanted.streamed();
        }
        for &(prefix, tokens) in &ask.prefixes {
            wanted = wanted.with_cache_prefix(prefix, tokens);
        }
        let endpoint = self.scenario.provider.endpoint();
        let secret = world::secret(attempt.key);
        let verdict = self.model.ask(now, endpoint, &secret, &wanted);
        attempt.request_id = verdict.request_id(self.scenario.provider.dialect());
        attempt.headers = self.model.headers_of(now, &verdict);
        self.tally.reached_provider(
            self.now,
            attempt.key,
            verdict.reply.status(),
            verdict.grant().map(|grant| (&grant.usage, ask.max_tokens)),
        );
        let wait = verdict.wait;
        attempt.ticket = verdict.ticket;
        let silence = Duration::from_millis(self.scenario.silence_ms);
        let (at, event) = match &verdict.reply {
            Reply::Hang => {
                let sent = Timestamp::from_unix_micros(attempt.sent_us);
                (sent + silence, Event::Silence(id, attempts))
            }
            Reply::Reset | Reply::Close(_) => {
                attempt.close = Close::Broken;
                (self.now + wait, Event::End(id))
            }
            Reply::Grant(_) | Reply::Refusal(_) | Reply::Verbatim { .. } => {
                (self.now + wait, Event::HeadLeaves(id))
            }
        };
        if let Some(request) = self.requests.get_mut(&id)
            && let Some(attempt) = &mut request.attempt
        {
            attempt.reply = Some(verdict.reply);
        }
        self.plan(at, event);
    }

    /// When something that leaves the provider now reaches the pool: never before what left earlier.
    fn back(&mut self, id: u64) -> Timestamp {
        let transit = self.transit();
        let at = (self.now + transit).as_unix_micros();
        let Some(attempt) = self
            .requests
            .get_mut(&id)
            .and_then(|request| request.attempt.as_mut())
        else {
            return self.now;
        };
        attempt.back_us = attempt.back_us.max(at);
        Timestamp::from_unix_micros(attempt.back_us)
    }

    /// The head of the answer leaves the provider.
    pub(super) fn head_leaves(&mut self, id: u64) {
        let now = sim_time(self.now);
        let at = self.back(id);
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let is_stream = request.ask.stream;
        let Some(attempt) = &mut request.attempt else {
            return;
        };
        let is_error = attempt
            .reply
            .as_ref()
            .and_then(Reply::status)
            .is_some_and(|status| status != 200);
        match &attempt.reply {
            Some(Reply::Grant(grant)) => {
                if let Some(ticket) = &attempt.ticket {
                    attempt.headers = self.model.headers(now, ticket);
                }
                let mut pieces: Vec<u64> = grant.chunks().collect();
                attempt.pace = grant.pace;
                if let Some(broken) = &grant.broken {
                    let kept = usize::try_from(broken.after).unwrap_or(usize::MAX);
                    pieces.truncate(kept);
                    attempt.close = match &broken.how {
                        BreakKind::Reset
                        | BreakKind::Close
                        | BreakKind::Truncate
                        | BreakKind::EndlessLine => Close::Broken,
                        BreakKind::Stall => Close::Never,
                        BreakKind::Error(code) => Close::Error(code.clone()),
                    };
                }
                match &grant.oddity {
                    // Whoever reads the answer finds it broken.
                    Some(Oddity::Garbage(_)) => attempt.close = Close::Broken,
                    Some(Oddity::NoEndMarker) if is_stream => attempt.close = Close::Broken,
                    Some(Oddity::KeepAlive { times: None, .. }) => {
                        pieces.clear();
                        attempt.close = Close::Never;
                    }
                    _ => {}
                }
                pieces.reverse();
                attempt.pieces = pieces;
            }
            _ => {
                if let Some(ticket) = attempt.ticket.take() {
                    self.model.finish(now, ticket, Ending::Complete);
                }
            }
        }
        let pace = attempt.pace;
        self.plan(at, Event::Head(id));
        if !is_error {
            self.plan(self.now + pace, Event::Piece(id));
        }
    }

    /// The head of the answer has reached the pool.
    pub(super) fn head_arrives(&mut self, id: u64) {
        let now_us = self.now.as_unix_micros();
        let kind = self.scenario.provider.kind();
        let Some(attempt) = self
            .requests
            .get_mut(&id)
            .and_then(|request| request.attempt.as_mut())
        else {
            return;
        };
        let headers = std::mem::take(&mut attempt.headers);
        let wrapped = SimHeaders(&headers);
        let mut readings = quota_readings(kind, &wrapped, now_us);
        let dialect = self.scenario.provider.dialect();
        let error = match &attempt.reply {
            Some(Reply::Refusal(error)) => {
                Some((error.status, error.body(dialect, &attempt.request_id)))
            }
            Some(Reply::Verbatim { status, body, .. }) => Some((*status, body.clone())),
            Some(reply @ Reply::Grant(_)) => reply
                .status()
                .filter(|&status| status != 200)
                .map(|status| (status, String::new())),
            _ => None,
        };
        if let Some((status, body)) = &error {
            readings.extend(quota_readings_of_error(kind, *status, body.as_bytes()));
        }
        let read: Vec<keypool_pool::QuotaReading> = readings
            .iter()
            .filter_map(|read| translate::reading(self.now, read))
            .collect();
        let owner = translate::owner(&quota_owner(kind, &wrapped));
        if let Some(lease) = &attempt.lease {
            let key = lease.key();
            if !read.is_empty() {
                if error.is_some() {
                    self.pool.handle_refusal_report(self.now, lease, &read);
                } else {
                    self.pool.handle_quota_report(self.now, lease, &read);
                }
            }
            if let Some(owner) = owner {
                self.pool.handle_owner(self.now, key, &owner);
            }
        }
        match error {
            None => {}
            Some((200, _)) => self.faulted(id, FaultKind::Garbage, true),
            Some((status, body)) => {
                if let Some(ticket) = self.take_ticket(id) {
                    self.model
                        .finish(sim_time(self.now), ticket, Ending::Broken);
                }
                let judged = judge(kind, status, &wrapped, body.as_bytes(), now_us);
                self.judged(id, &judged, status);
            }
        }
    }

    fn take_ticket(&mut self, id: u64) -> Option<keypool_sim::model::Ticket> {
        let request = self.requests.get_mut(&id)?;
        request.attempt.as_mut()?.ticket.take()
    }

    /// The provider writes the next piece of an answer, or ends it.
    pub(super) fn writes(&mut self, id: u64) {
        let now = sim_time(self.now);
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let attempts = request.attempts;
        let Some(attempt) = &mut request.attempt else {
            return;
        };
        let tokens = attempt.pieces.pop().unwrap_or(0);
        attempt.written += tokens;
        let (key, written) = (attempt.key, attempt.written);
        if let Some(ticket) = &mut attempt.ticket {
            self.model.produce(now, ticket, tokens);
        }
        self.tally.produced(self.now, key, tokens);
        if attempt.pieces.is_empty() {
            let ending = match attempt.close {
                Close::Complete => Ending::Complete,
                _ => Ending::Broken,
            };
            let never = attempt.close == Close::Never;
            if let Some(ticket) = attempt.ticket.take() {
                self.model.finish(now, ticket, ending);
            }
            if never {
                let at = self.now + Duration::from_millis(self.scenario.silence_ms);
                self.plan(at, Event::Silence(id, attempts));
            } else {
                let at = self.back(id);
                self.plan(at, Event::End(id));
            }
        } else {
            let pace = attempt.pace;
            let at = self.back(id);
            self.plan(at, Event::Progress(id, written));
            self.plan(self.now + pace, Event::Piece(id));
        }
    }

    pub(super) fn progresses(&mut self, id: u64, written: u64) {
        let request = self.requests.get_mut(&id);
        let attempt = request.and_then(|request| request.attempt.as_mut());
        if let Some(lease) = attempt.and_then(|attempt| attempt.lease.as_mut()) {
            self.pool.handle_progress(self.now, lease, written);
        }
    }

    /// The end of an answer has reached the pool.
    pub(super) fn ends(&mut self, id: u64) {
        let Some(attempt) = self
            .requests
            .get_mut(&id)
            .and_then(|request| request.attempt.as_mut())
        else {
            return;
        };
        let begun = attempt.written > 0;
        match std::mem::replace(&mut attempt.close, Close::Complete) {
            Close::Complete => {
                let Some(Reply::Grant(grant)) = &attempt.reply else {
                    return;
                };
                let used = keypool_wire::Usage {
                    input_tokens: grant.usage.input,
                    output_tokens: grant.usage.output,
                    cache_read_tokens: grant.usage.cache_read,
                    cache_write_tokens: grant.usage.cache_write,
                };
                self.tally.answered(self.now, attempt.key, &used);
                self.succeeds(id, &used);
            }
            Close::Broken | Close::Never => {
                if let Some(ticket) = attempt.ticket.take() {
                    self.model
                        .finish(sim_time(self.now), ticket, Ending::Broken);
                }
                self.faulted(id, FaultKind::Reset, !begun);
            }
            Close::Error(code) => {
                let kind = code.as_deref().unwrap_or("overloaded_error");
                let body = format!(
                    r#"{{"type":"error","error":{{"type":"{kind}","code":"{kind}","message":"broken off"}}}}"#
                );
                let none: &[(&str, &str)] = &[];
                let now_us = self.now.as_unix_micros();
                let judged = judge(
                    self.scenario.provider.kind(),
                    529,
                    &none,
                    body.as_bytes(),
                    now_us,
                );
                if begun {
                    self.faulted(id, FaultKind::ServerError, false);
                } else {
                    self.judged(id, &judged, 529);
                }
            }
        }
    }

    /// Nothing came for too long.
    pub(super) fn falls_silent(&mut self, id: u64, of_attempt: u32) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        if request.attempts != of_attempt {
            return;
        }
        let Some(attempt) = &mut request.attempt else {
            return;
        };
        let begun = attempt.written > 0;
        if let Some(ticket) = attempt.ticket.take() {
            self.model
                .finish(sim_time(self.now), ticket, Ending::Cancelled);
        }
        self.faulted(id, FaultKind::Timeout, !begun);
    }
}
