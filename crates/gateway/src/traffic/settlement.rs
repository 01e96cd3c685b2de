//! Settling an attempt's lease exactly once, whatever happens to the attempt.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use keypool_pool::{
    Charge, ErrorNote, FaultKind, Lease, Outcome, QuotaReading, Timestamp, Usage, Verdict,
};
use keypool_wire::{Endpoint, RequestVerdict, StreamError, UsageTally};

use crate::provider::{Provider, UpstreamKey};
use crate::traffic::failure::verdict_of;
use crate::traffic::quota_report::{owner_of_head, readings_of_error, readings_of_head};
use crate::traffic::request::{RequestFacts, TraceEnd, Used};

/// An attempt that is under way: holds the lease and settles it once. Dropped without a word (the
/// client left, the task was cancelled) it settles as cancelled and charges what is known to be used, or
/// else what was reserved.
#[derive(Debug)]
pub(crate) struct Settlement {
    lease: Option<Lease>,
    /// Who serves the attempt.
    pub provider: Arc<Provider>,
    /// The key that serves it.
    pub key: Arc<UpstreamKey>,
    /// What is being served.
    pub request: Arc<RequestFacts>,
    /// What the provider is asked for: the client's endpoint, or its counterpart in the provider's API.
    pub endpoint: Endpoint,
    /// When the attempt began.
    pub started: Timestamp,
    /// What the request went through before, and what is being answered.
    pub passed: Passed,
    /// What the answer has used so far; `None` until something of it came.
    seen: Option<UsageTally>,
}

/// What a request went through before an attempt, and came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passed {
    /// The most tokens of output that the provider is asked for.
    pub max_output_tokens: Option<u64>,
    /// The model, as the provider names it; known only where a trace is recorded.
    pub model: Option<Box<str>>,
    /// Which attempt it is, the first being 1.
    pub attempt: u32,
    /// How long the request waited for room.
    pub queued: Duration,
    /// Status of the answer, once one is being given to the client.
    pub answering: Option<u16>,
}

/// How often the pool is told of what an answer writes beyond its reservation: each time that it has
/// written an eighth more.
const PROGRESS_STEP: u64 = 8;

/// How an attempt ended, for its settlement.
#[derive(Debug)]
pub(crate) struct Ending {
    /// What the end says about the key.
    pub verdict: Verdict,
    /// What the meters are charged. [`Charge::AsReserved`] stands for what was seen to be used, and for
    /// what was reserved only if nothing was.
    pub charge: Charge,
    /// What was used, to be counted; what was seen to be, if it is charged so.
    pub usage: Usage,
    /// The error, for people.
    pub error: Option<ErrorNote>,
    /// The provider refused since traffic grows too fast.
    pub grew_too_fast: bool,
    /// State of the account that the answer made.
    pub made_state: Vec<u64>,
}

impl Ending {
    /// An end without an error.
    pub(crate) const fn new(verdict: Verdict, charge: Charge, usage: Usage) -> Self {
        Self {
            verdict,
            charge,
            usage,
            error: None,
            grew_too_fast: false,
            made_state: Vec::new(),
        }
    }
}

impl Settlement {
    /// Takes charge of a lease.
    #[must_use]
    pub(crate) fn new(
        lease: Lease,
        provider: Arc<Provider>,
        key: Arc<UpstreamKey>,
        request: Arc<RequestFacts>,
        endpoint: Endpoint,
        started: Timestamp,
        passed: Passed,
    ) -> Self {
        Self {
            lease: Some(lease),
            provider,
            key,
            request,
            endpoint,
            started,
            passed,
            seen: None,
        }
    }

    /// From now on its answer goes to the client.
    pub(crate) const fn begin_answer(&mut self, status: u16) {
        self.passed.answering = Some(status);
    }

    /// Settles.
    pub(crate) fn settle(mut self, ending: Ending) {
        self.settle_once(ending);
    }

    /// Gives the lease back: nobody was asked for anything.
    pub(crate) fn give_back(self) {
        self.settle(Ending::new(
            Verdict::Cancelled,
            Charge::Nothing,
            Usage::default(),
        ));
    }

    /// Settles by what was seen to be used.
    pub(crate) fn settle_seen(self, verdict: Verdict, made_state: &[u64]) {
        self.settle(Ending {
            made_state: made_state.to_vec(),
            ..Ending::new(verdict, Charge::AsReserved, Usage::default())
        });
    }

    /// Notes what the answer has used so far.
    pub(crate) const fn observe_usage(&mut self, tally: UsageTally) {
        self.seen = Some(tally);
    }

    /// Tells the pool what the head of the answer says about the quota: its state right now.
    pub(crate) fn observe_head(&self, status: StatusCode, headers: &HeaderMap) {
        let kind = self.provider.settings().kind;
        let now = self.provider.pool.time().now();
        self.report(&readings_of_head(kind, headers, now), status.is_success());
        let Some(owner) = owner_of_head(kind, headers) else {
            return;
        };
        if self.key.owner.swap(owner.id, Ordering::Relaxed) != owner.id {
            self.provider
                .pool
                .with(|pool, now| pool.handle_owner(now, self.key.id, &owner));
        }
    }

    /// Tells the pool what the body of an error says about the quota.
    pub(crate) fn observe_error(&self, status: u16, body: &[u8]) {
        let kind = self.provider.settings().kind;
        let now = self.provider.pool.time().now();
        self.report(&readings_of_error(kind, status, body, now), false);
    }

    fn report(&self, readings: &[QuotaReading], admitted: bool) {
        if let Some(lease) = self.lease.as_ref().filter(|_| !readings.is_empty()) {
            self.provider.pool.with(|pool, now| {
                if admitted {
                    pool.handle_quota_report(now, lease, readings);
                } else {
                    pool.handle_refusal_report(now, lease, readings);
                }
            });
        }
    }

    /// Tells the pool how much a running answer has written, when it is more than was reserved.
    pub(crate) fn observe_output(&mut self, output_tokens: u64) {
        let Some(lease) = &mut self.lease else {
            return;
        };
        let (_, reserved) = lease.reserved();
        if output_tokens > reserved {
            let ahead = output_tokens.saturating_add(output_tokens / PROGRESS_STEP);
            self.provider
                .pool
                .with(|pool, now| pool.handle_progress(now, lease, ahead));
        }
    }

    /// The charge for what was seen to be used, and what to count.
    fn charge_seen(&self, verdict: Verdict, reserved: (u64, u64)) -> (Charge, Used) {
        if self.endpoint.counts_tokens() {
            // Free: the tokens of its answer were counted, not used.
            return (Charge::RequestOnly, Used::default());
        }
        let kind = self.provider.settings().kind;
        let max_output_tokens = self.passed.max_output_tokens;
        let owed = if gives_up(verdict) {
            keypool_wire::output_owed_when_given_up(kind, max_output_tokens)
        } else {
            0
        };
        let Some(tally) = self.seen else {
            let (input_tokens, reserved) = reserved;
            let charge = if owed > reserved {
                Charge::Estimated {
                    input_tokens,
                    output_tokens: owed,
                }
            } else {
                Charge::AsReserved
            };
            return (charge, Used::default());
        };
        let (input_tokens, output_tokens) =
            keypool_wire::charge(kind, &tally.usage, max_output_tokens);
        let estimated = tally.is_estimated();
        let charge = if estimated || owed > output_tokens {
            Charge::Estimated {
                input_tokens,
                output_tokens: output_tokens.max(owed),
            }
        } else {
            Charge::Actual {
                input_tokens,
                output_tokens,
            }
        };
        let usage = pool_usage(&tally.usage);
        (charge, Used { usage, estimated })
    }

    /// Counts the figures that are guesses, with the key as it is now: a reload may have replaced it.
    fn count_guesses(&self) {
        let (input, output) = self.seen.map_or((0, 0), |tally| tally.guesses());
        let key = self.provider.key(self.key.id);
        let key = key.as_ref().unwrap_or(&self.key);
        key.count_guesses(input, output);
    }

    /// What an error in the middle of a stream says about the key.
    #[must_use]
    pub(crate) fn blame_stream_error(&self, error: &StreamError) -> (Verdict, Option<ErrorNote>) {
        let now = self.provider.pool.time().now();
        let judged = error.judge(self.provider.settings().kind, now.as_unix_micros());
        let verdict = verdict_of(&judged.key);
        let note = ErrorNote {
            status: Some(error.status),
            code: judged.code,
            message: judged.message,
        };
        (verdict, Some(note))
    }

    /// What it says about the key that a whole answer of the Responses API is a failed response, where
    /// that is the answer to what was asked; `None` where another key may do better.
    #[must_use]
    pub(crate) fn verdict_of_failed_response(&self, error: &StreamError) -> Option<Verdict> {
        let now = self.provider.pool.time().now();
        let judged = error.judge(self.provider.settings().kind, now.as_unix_micros());
        let answers =
            self.endpoint == Endpoint::Responses && judged.request == RequestVerdict::Client;
        answers.then(|| verdict_of(&judged.key))
    }

    fn settle_once(&mut self, ending: Ending) {
        let Some(lease) = self.lease.take() else {
            return;
        };
        let latency = self
            .provider
            .pool
            .time()
            .now()
            .saturating_duration_since(self.started);
        self.provider.measurements.observe_request(latency);
        let Ending {
            verdict,
            charge,
            usage,
            error,
            grew_too_fast,
            made_state,
        } = ending;
        // An error may come after a part of the answer: then the provider did some work.
        let worked = self.seen.is_some_and(|tally| tally.usage.output_tokens > 0);
        let by_what_was_seen =
            charge == Charge::AsReserved || charge == Charge::RequestOnly && worked;
        let (charge, used) = if by_what_was_seen {
            self.charge_seen(verdict, lease.reserved())
        } else {
            let estimated = false;
            (charge, Used { usage, estimated })
        };
        if used.estimated {
            self.count_guesses();
        }
        let outcome = Outcome {
            verdict,
            charge,
            usage: used.usage,
            latency,
            error,
            grew_too_fast,
            made_state,
        };
        if let Some(status) = self.passed.answering {
            self.request.trace(&TraceEnd {
                provider: &self.provider.name,
                model: self.passed.model.as_deref().unwrap_or_default(),
                usage: Some(used),
                status,
                attempts: self.passed.attempt,
                queued: self.passed.queued,
                latency,
            });
        }
        self.provider.pool.settle(lease, &outcome);
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        self.settle_once(Ending::new(
            Verdict::Cancelled,
            Charge::AsReserved,
            Usage::default(),
        ));
    }
}

/// Whether it was not the provider who ended the answer.
const fn gives_up(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Cancelled | Verdict::Fault(FaultKind::Timeout | FaultKind::Garbage)
    )
}

fn pool_usage(usage: &keypool_wire::Usage) -> Usage {
    Usage {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cache_read_tokens: usage.cache_read_tokens,
        cache_write_tokens: usage.cache_write_tokens,
    }
}
