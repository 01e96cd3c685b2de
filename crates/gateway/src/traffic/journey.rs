//! A request's way through targets and keys to an answer.
//!
//! As long as no byte of an answer has gone to the client, every failure that another key or a
//! fallback could cure is cured out of its sight: bounded by keys and by the deadline, not by a
//! count. A key that was tried is not tried again.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Response};
use keypool_pool::{
    Admission, Charge, Demand, KeyId, Lease, Outcome, Refusal, RefusalReason, Timestamp, Usage,
    Verdict,
};
use keypool_wire::OwnError;

use crate::answer::{Retry, error_response};
use crate::body::AnswerBody;
use crate::core::Core;
use crate::limits;
use crate::live::Live;
use crate::provider::Provider;
use crate::routing::Target;
use crate::telemetry::POOL_LOG;
use crate::traffic::attempt::{Attempt, takes_stream_options, wants_usage};
use crate::traffic::failure::{Cure, Failure, FailureKind};
use crate::traffic::request::ClientRequest;
use crate::traffic::settlement::Settlement;
use crate::upstream::UpstreamClient;

/// Who answered a request, for the headers that tell the client.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// How many attempts were made.
    pub attempts: u32,
    served_by: Option<(String, String)>,
}

/// A request under way.
pub(super) struct Journey<'a> {
    core: &'a Core,
    live: &'a Live,
    upstream: &'a UpstreamClient,
    request: ClientRequest<'a>,
    trail: Trail,
    /// Failures whose keys are blamed if another key serves the request.
    suspicions: Vec<Failure>,
    last_failure: Option<Failure>,
    last_refusal: Option<(Arc<Provider>, Refusal)>,
    /// Mask and reason of the attempt that failed last, until the next one begins.
    failed: Option<(String, String)>,
}

/// Why no attempt can be made.
enum NotAdmitted {
    /// The pool has no key for it now.
    Refused(Refusal),
    /// The key was removed between the grant and the look-up of its secret.
    SecretGone(KeyId),
}

impl<'a> Journey<'a> {
    /// Begins a journey.
    #[must_use]
    pub(super) fn new(
        core: &'a Core,
        live: &'a Live,
        upstream: &'a UpstreamClient,
        request: ClientRequest<'a>,
    ) -> Self {
        Self {
            core,
            live,
            upstream,
            request,
            trail: Trail::default(),
            suspicions: Vec::new(),
            last_failure: None,
            last_refusal: None,
            failed: None,
        }
    }

    /// Runs it to its end.
    pub(super) async fn run(mut self, targets: &[Target]) -> (Response<AnswerBody>, Trail) {
        for target in targets {
            if let Some(mut response) = self.try_target(target).await {
                target.provider.write_quota_headers(response.headers_mut());
                for failure in &mut self.suspicions {
                    failure.confirm_suspicion();
                }
                return (response, self.trail);
            }
        }
        self.give_up(targets)
    }

    /// Tries the keys of one target, until one answers, none is left, or the request is at fault.
    async fn try_target(&mut self, target: &Target) -> Option<Response<AnswerBody>> {
        let mut tried: Vec<KeyId> = Vec::new();
        let mut same_key_retried = false;
        while !self.is_out_of_attempts() {
            let settlement = match self.admit(target, &tried) {
                Ok(settlement) => settlement,
                Err(NotAdmitted::SecretGone(key)) => {
                    tried.push(key);
                    continue;
                }
                Err(NotAdmitted::Refused(refusal)) => {
                    self.last_refusal = Some((target.provider.clone(), refusal));
                    return None;
                }
            };
            self.tell_failover(&settlement);
            self.trail.attempts += 1;
            let mut failure = match self.attempt(target, settlement).await {
                Ok(response) => return Some(response),
                Err(failure) => failure,
            };
            if failure.cure == Cure::SameKeyOnce && same_key_retried {
                failure.cure = Cure::None;
            }
            // The same complaint about the model from a second key: it is the request's fault.
            if failure.is_suspicion() && !self.suspicions.is_empty() {
                failure.cure = Cure::None;
            }
            self.failed = Some((failure.mask.clone(), failure.code.clone()));
            match failure.cure {
                Cure::None => {
                    self.suspicions.clear();
                    let dialect = self.request.facts.endpoint.dialect();
                    return Some(failure.into_response(dialect, Retry::Unsaid));
                }
                Cure::SameKeyOnce => same_key_retried = true,
                Cure::OtherKey => tried.push(failure.key),
            }
            if failure.is_suspicion() {
                self.suspicions.push(failure);
            } else {
                self.last_failure = Some(failure);
            }
        }
        None
    }

    /// A lease on a key that has room.
    fn admit(&self, target: &Target, tried: &[KeyId]) -> Result<Settlement, NotAdmitted> {
        let provider = &target.provider;
        let lease = match provider.pool.admit(&self.demand(target, tried)) {
            Admission::Granted(lease) => lease,
            Admission::Refused(refusal) => return Err(NotAdmitted::Refused(refusal)),
        };
        let id = lease.key();
        let Some(key) = provider.key(id) else {
            give_back(provider, lease);
            return Err(NotAdmitted::SecretGone(id));
        };
        let started = self.core.time.now();
        Ok(Settlement::new(
            lease,
            provider.clone(),
            key,
            self.request.facts.clone(),
            started,
        ))
    }

    fn demand<'d>(&'d self, target: &'d Target, tried: &'d [KeyId]) -> Demand<'d> {
        let kind = target.provider.settings().kind;
        let (input_tokens, output_tokens) =
            keypool_wire::reservation(kind, &self.request.facts.peek, self.request.facts.endpoint);
        Demand {
            model: &target.model,
            input_tokens,
            output_tokens,
            tags: &self.request.tags,
            excluded: tried,
        }
    }

    async fn attempt(
        &mut self,
        target: &Target,
        settlement: Settlement,
    ) -> Result<Response<AnswerBody>, Failure> {
        let request = &self.request;
        let usage_injected = wants_usage(request.facts.endpoint, &request.facts.peek)
            && takes_stream_options(target.provider.settings().kind);
        let body = keypool_wire::upstream_body(
            &request.body,
            &request.facts.peek,
            Some(&target.model),
            usage_injected,
        );
        let measurements = &target.provider.measurements;
        let started = self.core.time.now();
        self.trail.served_by = Some((target.provider.name.clone(), settlement.key.mask.clone()));
        let attempt = Attempt {
            upstream: self.upstream,
            measurements: &self.core.measurements,
            timeouts: &self.live.config.timeouts,
            request,
            body,
            usage_injected,
            time_left: self.time_left(),
            end: tokio::time::Instant::now() + self.live.config.timeouts.total,
        };
        let answered = attempt.run(settlement).await;
        if answered.is_ok() {
            measurements
                .observe_first_byte(self.core.time.now().saturating_duration_since(started));
        }
        answered
    }

    /// Says that an attempt follows one that failed.
    fn tell_failover(&mut self, next: &Settlement) {
        let Some((mask, code)) = self.failed.take() else {
            return;
        };
        next.provider.measurements.count_failover(&code);
        tracing::warn!(
            target: POOL_LOG,
            request = %self.request.facts.id,
            provider = %next.provider.name,
            "failover from {mask} ({code}) to {}",
            next.key.mask,
        );
    }

    fn is_out_of_attempts(&self) -> bool {
        let most = self.live.config.retry.max_attempts;
        most.is_some_and(|most| self.trail.attempts >= most.get()) || self.time_left().is_zero()
    }

    fn time_left(&self) -> Duration {
        self.request
            .deadline
            .saturating_duration_since(self.core.time.now())
    }

    /// Nothing cured it: the most useful thing to say to the client.
    fn give_up(mut self, targets: &[Target]) -> (Response<AnswerBody>, Trail) {
        let dialect = self.request.facts.endpoint.dialect();
        if let Some(failure) = self.suspicions.pop() {
            // Nobody serves this model, and one provider said so in its own words.
            self.suspicions.clear();
            return (failure.into_response(dialect, Retry::Unsaid), self.trail);
        }
        let room_in = self.room_in(targets);
        let response = match self.last_failure.take() {
            Some(failure) => match failure.kind {
                FailureKind::Quota => no_room(dialect, room_in),
                FailureKind::Key => match room_in {
                    Some(_) => no_room(dialect, room_in),
                    None => unavailable(dialect, self.last_refusal.as_ref()),
                },
                FailureKind::Overload => {
                    let wait = room_in.unwrap_or(limits::OVERLOAD_RETRY_AFTER);
                    failure.into_response(dialect, Retry::After(wait))
                }
                FailureKind::Request
                | FailureKind::Server
                | FailureKind::Timeout
                | FailureKind::Broken => failure.into_response(dialect, Retry::Unsaid),
            },
            None => match &self.last_refusal {
                Some((provider, refusal)) => refused(dialect, provider, refusal, room_in),
                None => out_of_time(dialect),
            },
        };
        (response, self.trail)
    }

    /// How long until some key of the targets has room for this request, if it ever will. The keys
    /// that were tried count again.
    fn room_in(&self, targets: &[Target]) -> Option<Duration> {
        let now = self.core.time.now();
        let at = match &self.last_refusal {
            Some((_, refusal)) if self.trail.attempts == 0 => room_at(refusal),
            _ => targets
                .iter()
                .filter_map(|target| {
                    let demand = self.demand(target, &[]);
                    let pool = &target.provider.pool;
                    match pool.with(|pool, now| pool.explain(now, &demand)).refusal {
                        None => Some(now),
                        Some(refusal) => room_at(&refusal),
                    }
                })
                .min(),
        };
        at.map(|at| at.saturating_duration_since(now))
    }
}

/// When there will be room. The next probe of a dead key promises none.
fn room_at(refusal: &Refusal) -> Option<Timestamp> {
    match refusal.reason {
        RefusalReason::AllUnavailable => None,
        _ => refusal.retry_at,
    }
}

impl Trail {
    /// Tells the client who answered.
    pub(super) fn write_to(&self, response: &mut Response<AnswerBody>, request_id: &str) {
        let headers = response.headers_mut();
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        set("x-keypool-request-id", request_id);
        set("x-keypool-attempts", &self.attempts.to_string());
        set("x-keypool-queued-ms", "0");
        if let Some((provider, mask)) = &self.served_by {
            set("x-keypool-provider", provider);
            set("x-keypool-key", mask);
        }
    }
}

/// Settles a lease that was never used.
fn give_back(provider: &Provider, lease: Lease) {
    let outcome = Outcome {
        verdict: Verdict::Cancelled,
        charge: Charge::Nothing,
        usage: Usage::default(),
        latency: Duration::ZERO,
        error: None,
    };
    provider.pool.settle(lease, &outcome);
}

fn refused(
    dialect: keypool_wire::Dialect,
    provider: &Provider,
    refusal: &Refusal,
    room_in: Option<Duration>,
) -> Response<AnswerBody> {
    let (status, code) = match refusal.reason {
        RefusalReason::NoRoom => return no_room(dialect, room_in),
        RefusalReason::NoKeys => (503, "no_keys"),
        RefusalReason::NoKeyForModel => (404, "no_key_for_model"),
        RefusalReason::NoKeyForTags => (404, "no_key_for_tags"),
        RefusalReason::TooLarge => (413, "request_exceeds_quota"),
        RefusalReason::AllUnavailable | RefusalReason::AllTried => (503, "all_keys_unavailable"),
    };
    let message = format!("provider {}: {}", provider.name, refusal.reason);
    let retry = match (refusal.reason, room_in) {
        (RefusalReason::AllTried, Some(wait)) => Retry::After(wait),
        _ => Retry::Never,
    };
    error_response(
        dialect,
        &OwnError {
            status,
            code,
            message,
        },
        retry,
    )
}

fn no_room(dialect: keypool_wire::Dialect, room_in: Option<Duration>) -> Response<AnswerBody> {
    let wait = room_in.unwrap_or(limits::OVERLOAD_RETRY_AFTER);
    let message = format!(
        "no key has room for this request now; there will be room in {:.1} s",
        wait.as_secs_f64()
    );
    let error = OwnError {
        status: 429,
        code: "no_room",
        message,
    };
    error_response(dialect, &error, Retry::After(wait))
}

fn unavailable(
    dialect: keypool_wire::Dialect,
    refusal: Option<&(Arc<Provider>, Refusal)>,
) -> Response<AnswerBody> {
    let provider = refusal.map_or("", |(provider, _)| provider.name.as_str());
    let message = format!("provider {provider}: no key is usable; see GET /api/apikeys/health");
    let error = OwnError {
        status: 503,
        code: "all_keys_unavailable",
        message,
    };
    error_response(dialect, &error, Retry::Never)
}

fn out_of_time(dialect: keypool_wire::Dialect) -> Response<AnswerBody> {
    let message = "the request's deadline passed before an attempt could begin".to_owned();
    let error = OwnError {
        status: 504,
        code: "deadline_passed",
        message,
    };
    error_response(dialect, &error, Retry::Unsaid)
}
