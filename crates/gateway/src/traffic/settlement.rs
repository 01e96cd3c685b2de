//! Settling an attempt's lease exactly once, whatever happens to the attempt.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use keypool_pool::{Charge, ErrorNote, Lease, Outcome, QuotaReading, Timestamp, Usage, Verdict};
use keypool_wire::{Endpoint, StreamError};

use crate::provider::{Provider, UpstreamKey};
use crate::traffic::failure::verdict_of;
use crate::traffic::quota_report::{owner_of_head, readings_of_error, readings_of_head};
use crate::traffic::request::{RequestFacts, TraceEnd};

/// An attempt that is under way: holds the lease and settles it once. Dropped without a word (the
/// client left, the task was cancelled) it settles as cancelled and charges what was reserved.
#[derive(Debug)]
pub(crate) struct Settlement {
    lease: Option<Lease>,
    /// Who serves the attempt.
    pub provider: Arc<Provider>,
    /// The key that serves it.
    pub key: Arc<UpstreamKey>,
    /// What is being served.
    pub request: Arc<RequestFacts>,
    /// When the attempt began.
    pub started: Timestamp,
    /// What the request went through before, and what is being answered.
    pub passed: Passed,
}

/// What a request went through before an attempt.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passed {
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
    /// What the meters are charged.
    pub charge: Charge,
    /// What the provider said was used, as far as it is known.
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
        started: Timestamp,
        passed: Passed,
    ) -> Self {
        Self {
            lease: Some(lease),
            provider,
            key,
            request,
            started,
            passed,
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

    /// Settles by what the provider said was used; what it did not say stays charged as reserved.
    pub(crate) fn settle_used(
        self,
        verdict: Verdict,
        usage: Option<&keypool_wire::Usage>,
        made_state: &[u64],
    ) {
        let (charge, usage) = self.charge_for(usage);
        self.settle(Ending {
            made_state: made_state.to_vec(),
            ..Ending::new(verdict, charge, usage)
        });
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

    /// The charge and the totals for a usage as the provider states it.
    #[must_use]
    pub(crate) fn charge_for(&self, usage: Option<&keypool_wire::Usage>) -> (Charge, Usage) {
        if self.request.endpoint == Endpoint::CountTokens {
            // Free: the tokens of its answer were counted, not used.
            return (Charge::RequestOnly, Usage::default());
        }
        let Some(usage) = usage else {
            return (Charge::AsReserved, Usage::default());
        };
        let kind = self.provider.settings().kind;
        let (input_tokens, output_tokens) = keypool_wire::charge(kind, usage, &self.request.peek);
        (
            Charge::Actual {
                input_tokens,
                output_tokens,
            },
            pool_usage(usage),
        )
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
        let outcome = Outcome {
            verdict,
            charge,
            usage,
            latency,
            error,
            grew_too_fast,
            made_state,
        };
        if let Some(status) = self.passed.answering {
            self.request.trace(&TraceEnd {
                provider: &self.provider.name,
                model: self.passed.model.as_deref().unwrap_or_default(),
                usage: Some(usage),
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

fn pool_usage(usage: &keypool_wire::Usage) -> Usage {
    Usage {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cache_read_tokens: usage.cache_read_tokens,
        cache_write_tokens: usage.cache_write_tokens,
    }
}
