//! A request's way through targets and keys to an answer.
//!
//! As long as no byte of an answer has gone to the client, every failure that another key, another moment
//! or a fallback could cure is cured out of its sight: bounded by keys and by the deadline, not by a
//! count. A key that failed is not tried again; one that was out of quota is, once it has room.
//!
//! Nobody waits for a target while a fallback has room: all targets are asked first, and only if none of
//! them has room is the one waited for that will have it first.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Response};
use keypool_pool::{Demand, KeyId, Refusal, RefusalReason, Timestamp, Turn, Wait};
use keypool_wire::OwnError;

use crate::answer::{Retry, error_response, stopping};
use crate::body::AnswerBody;
use crate::core::Core;
use crate::limits;
use crate::live::Live;
use crate::pool_shell::{Admitted, unused};
use crate::provider::Provider;
use crate::routing::Target;
use crate::telemetry::POOL_LOG;
use crate::traffic::attempt::{Attempt, takes_stream_options, wants_usage};
use crate::traffic::deferred::HoldOpen;
use crate::traffic::failure::{Cure, Failure, FailureKind};
use crate::traffic::quota_report::model_class;
use crate::traffic::request::{ClientRequest, RequestFacts, TraceEnd};
use crate::traffic::settlement::{Course, Settlement};
use crate::upstream::UpstreamClient;

/// Who answered a request, for the headers that tell the client.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// How many attempts were made.
    pub attempts: u32,
    /// How long it waited for room.
    pub queued: Duration,
    served_by: Option<(String, String)>,
}

/// What a request is served with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) core: &'a Core,
    pub(super) upstream: &'a UpstreamClient,
    pub(super) live: &'a Live,
    /// To be raised when a streamed request has waited for long.
    pub(super) hold_open: Option<&'a HoldOpen>,
}

/// A request under way.
pub(super) struct Journey<'a> {
    means: Means<'a>,
    request: ClientRequest<'a>,
    trail: Trail,
    /// Failures whose keys are blamed if another key serves the request.
    suspicions: Vec<Failure>,
    last_failure: Option<Failure>,
    last_refusal: Option<(Arc<Provider>, Refusal)>,
    /// Mask and reason of the attempt that failed last, until the next one begins.
    failed: Option<(String, String)>,
}

/// Whether a request waits for room at a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// It goes on to the next target.
    None,
    /// It waits for as long as the configuration and its client allow.
    Queue,
}

/// The provider was removed while the request waited.
const PROVIDER_GONE: Refusal = Refusal {
    reason: RefusalReason::NoKeys,
    retry_at: None,
};

/// Tells a client under which name the logs know its request.
pub(super) const REQUEST_ID_HEADER: &str = "x-keypool-request-id";

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
    pub(super) fn new(means: Means<'a>, request: ClientRequest<'a>) -> Self {
        Self {
            means,
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
        let targets = self.bound_to(targets);
        let at_once = targets.len() > 1;
        let mut tried = vec![Vec::new(); targets.len()];
        for (target, tried) in targets.iter().zip(&mut tried) {
            let patience = if at_once {
                Patience::None
            } else {
                Patience::Queue
            };
            if let Some(response) = self.try_target(target, tried, patience).await {
                return self.answered(target, response);
            }
        }
        if at_once
            && let Some((target, tried)) = self.first_with_room(targets, &mut tried)
            && let Some(response) = self.try_target(target, tried, Patience::Queue).await
        {
            return self.answered(target, response);
        }
        self.give_up(targets)
    }

    fn answered(
        mut self,
        target: &Target,
        mut response: Response<AnswerBody>,
    ) -> (Response<AnswerBody>, Trail) {
        let class = self.model_class(target);
        target
            .provider
            .write_quota_headers(response.headers_mut(), class);
        for failure in &mut self.suspicions {
            failure.confirm_suspicion();
        }
        (response, self.trail)
    }

    /// The one target whose keys made the state that the request carries, if any of them did: a fallback
    /// would not understand it.
    fn bound_to<'t>(&self, targets: &'t [Target]) -> &'t [Target] {
        let state = &self.request.facts.peek.state_ids;
        if state.is_empty() || targets.len() < 2 {
            return targets;
        }
        let made = |target: &Target| {
            let pool = &target.provider.pool;
            pool.with(|pool, now| pool.knows_state(now, state))
        };
        let maker = targets.iter().position(made);
        maker
            .and_then(|position| targets.get(position..=position))
            .unwrap_or(targets)
    }

    /// The target that will have room first, if any will.
    fn first_with_room<'t>(
        &self,
        targets: &'t [Target],
        tried: &'t mut [Vec<KeyId>],
    ) -> Option<(&'t Target, &'t mut Vec<KeyId>)> {
        let rooms = targets
            .iter()
            .zip(tried)
            .filter_map(|target| Some((self.room_at(target.0)?, target)));
        rooms.min_by_key(|&(at, _)| at).map(|(_, target)| target)
    }

    fn model_class<'t>(&self, target: &'t Target) -> &'t str {
        let kind = target.provider.settings().kind;
        model_class(kind, self.request.facts.endpoint, &target.model)
    }

    /// Tries the keys of one target that were not `tried`, until one answers, none is left, or the request
    /// is at fault.
    async fn try_target(
        &mut self,
        target: &Target,
        tried: &mut Vec<KeyId>,
        patience: Patience,
    ) -> Option<Response<AnswerBody>> {
        let mut same_key_retried = false;
        while !self.is_out_of_attempts() {
            let settlement = match self.admit(target, tried, patience).await {
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
                    let response = failure.into_response(dialect, Retry::Unsaid);
                    trace_unserved(&self.request.facts, &self.trail, target, &response);
                    return Some(response);
                }
                Cure::SameKeyOnce => same_key_retried = true,
                // The pool holds it back until it has room again.
                Cure::OtherKey if failure.kind == FailureKind::Quota => {}
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

    /// A lease on a key that has room, now or when its turn comes.
    async fn admit(
        &mut self,
        target: &Target,
        tried: &[KeyId],
        patience: Patience,
    ) -> Result<Settlement, NotAdmitted> {
        let provider = &target.provider;
        let demand = self.demand(target, tried, self.wait(patience));
        let lease = match provider.pool.request(&demand) {
            Admitted::Granted(lease) => lease,
            Admitted::Refused(refusal) => return Err(NotAdmitted::Refused(refusal)),
            Admitted::Waiting(waiting) => {
                let began = self.means.core.time.now();
                let turn = match self.means.hold_open {
                    Some(hold_open) if self.request.facts.is_streamed() => {
                        hold_open.watch(waiting.turn()).await
                    }
                    _ => waiting.turn().await,
                };
                let waited = self.means.core.time.now().saturating_duration_since(began);
                provider.measurements.observe_wait(waited);
                self.trail.queued += waited;
                match turn {
                    Some(Turn::Granted(lease)) => lease,
                    Some(Turn::Refused(refusal)) => return Err(NotAdmitted::Refused(refusal)),
                    None => return Err(NotAdmitted::Refused(PROVIDER_GONE)),
                }
            }
        };
        let id = lease.key();
        let Some(key) = provider.key(id) else {
            provider.pool.settle(lease, &unused());
            return Err(NotAdmitted::SecretGone(id));
        };
        let traced = self.request.facts.trace.is_some();
        let course = Course {
            model: traced.then(|| target.model.as_str().into()),
            attempt: self.trail.attempts + 1,
            queued: self.trail.queued,
            answering: None,
        };
        Ok(Settlement::new(
            lease,
            provider.clone(),
            key,
            self.request.facts.clone(),
            self.means.core.time.now(),
            course,
        ))
    }

    fn demand<'d>(
        &'d self,
        target: &'d Target,
        tried: &'d [KeyId],
        wait: Option<Wait>,
    ) -> Demand<'d> {
        let kind = target.provider.settings().kind;
        let RequestFacts { endpoint, peek, .. } = &*self.request.facts;
        let (input_tokens, output_tokens) = keypool_wire::reservation(kind, peek, *endpoint);
        Demand {
            model: &target.model,
            model_class: Some(model_class(kind, *endpoint, &target.model)),
            input_tokens,
            output_tokens,
            tags: &self.request.tags,
            excluded: tried,
            session: self.request.session,
            state: &peek.state_ids,
            wait,
        }
    }

    /// How the request waits, if it may.
    fn wait(&self, patience: Patience) -> Option<Wait> {
        let queue = &self.means.live.config.queue;
        if !queue.enabled || patience == Patience::None {
            return None;
        }
        let patience_left = queue.max_wait.saturating_sub(self.trail.queued);
        if patience_left.is_zero() {
            return None;
        }
        let tenant = self.request.tenant;
        Some(Wait {
            until: self
                .request
                .deadline
                .min(self.means.core.time.now() + patience_left),
            since: self.request.arrived,
            urgency: self.request.urgency,
            tenant: keypool_wire::session_hash(tenant.name),
            weight: tenant.weight,
            bytes: u64::try_from(self.request.body.len()).unwrap_or(u64::MAX),
            resumed: self.trail.attempts > 0,
        })
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
        let started = self.means.core.time.now();
        self.trail.served_by = Some((target.provider.name.clone(), settlement.key.mask.clone()));
        let attempt = Attempt {
            upstream: self.means.upstream,
            measurements: &self.means.core.measurements,
            timeouts: &self.means.live.config.timeouts,
            request,
            body,
            usage_injected,
            time_left: self.time_left(),
            end: tokio::time::Instant::now() + self.means.live.config.timeouts.total,
        };
        let answered = attempt.run(settlement).await;
        if answered.is_ok() {
            measurements.observe_first_byte(
                self.means
                    .core
                    .time
                    .now()
                    .saturating_duration_since(started),
            );
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
        let most = self.means.live.config.retry.max_attempts;
        most.is_some_and(|most| self.trail.attempts >= most.get()) || self.time_left().is_zero()
    }

    fn time_left(&self) -> Duration {
        self.request
            .deadline
            .saturating_duration_since(self.means.core.time.now())
    }

    /// Nothing cured it: the most useful thing to say to the client.
    fn give_up(self, targets: &[Target]) -> (Response<AnswerBody>, Trail) {
        let facts = self.request.facts.clone();
        let (response, trail) = self.last_word(targets);
        if let Some(target) = targets.last() {
            trace_unserved(&facts, &trail, target, &response);
        }
        (response, trail)
    }

    fn last_word(mut self, targets: &[Target]) -> (Response<AnswerBody>, Trail) {
        let dialect = self.request.facts.endpoint.dialect();
        if let Some(failure) = self.suspicions.pop() {
            // Nobody serves this model, and one provider said so in its own words.
            self.suspicions.clear();
            return (failure.into_response(dialect, Retry::Unsaid), self.trail);
        }
        let was_dismissed = |(_, refusal): &(_, Refusal)| refusal.reason == RefusalReason::NoRoom;
        if self.means.core.is_draining() && self.last_refusal.as_ref().is_some_and(was_dismissed) {
            // Its time in the queue was cut short.
            return (stopping(dialect), self.trail);
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
                Some((provider, refusal)) => {
                    let state = self.request.facts.peek.state_name();
                    refused(dialect, provider, refusal, room_in, state)
                }
                None => out_of_time(dialect),
            },
        };
        (response, self.trail)
    }

    /// How long until some key of the targets has room for this request, if it ever will. The keys
    /// that were tried count again.
    fn room_in(&self, targets: &[Target]) -> Option<Duration> {
        let now = self.means.core.time.now();
        let at = match &self.last_refusal {
            Some((_, refusal)) if refusal.reason == RefusalReason::NoRoom && targets.len() == 1 => {
                room_at(refusal)
            }
            _ => targets
                .iter()
                .filter_map(|target| self.room_at(target))
                .min(),
        };
        at.map(|at| at.saturating_duration_since(now))
    }

    /// When a target has room for this request, if it ever will. The keys that were tried count again.
    fn room_at(&self, target: &Target) -> Option<Timestamp> {
        let demand = self.demand(target, &[], None);
        let pool = &target.provider.pool;
        match pool.with(|pool, now| pool.explain(now, &demand)).refusal {
            None => Some(self.means.core.time.now()),
            Some(refusal) => room_at(&refusal),
        }
    }
}

/// Tells whoever records traces of a request that got an error instead of an answer.
fn trace_unserved(
    facts: &RequestFacts,
    trail: &Trail,
    target: &Target,
    response: &Response<AnswerBody>,
) {
    facts.trace(&TraceEnd {
        provider: &target.provider.name,
        model: &target.model,
        usage: None,
        status: response.status().as_u16(),
        attempts: trail.attempts,
        queued: trail.queued,
        latency: Duration::ZERO,
    });
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
        set(REQUEST_ID_HEADER, request_id);
        set("x-keypool-attempts", &self.attempts.to_string());
        set("x-keypool-queued-ms", &self.queued.as_millis().to_string());
        if let Some((provider, mask)) = &self.served_by {
            set("x-keypool-provider", provider);
            set("x-keypool-key", mask);
        }
    }
}

fn refused(
    dialect: keypool_wire::Dialect,
    provider: &Provider,
    refusal: &Refusal,
    room_in: Option<Duration>,
    state: Option<&'static str>,
) -> Response<AnswerBody> {
    let (status, code) = match refusal.reason {
        RefusalReason::NoRoom => return no_room(dialect, room_in),
        RefusalReason::NoKeys => (503, "no_keys"),
        RefusalReason::NoKeyForModel => (404, "no_key_for_model"),
        RefusalReason::NoKeyForTags => (404, "no_key_for_tags"),
        RefusalReason::TooLarge => (413, "request_exceeds_quota"),
        RefusalReason::AllUnavailable | RefusalReason::AllTried => (503, "all_keys_unavailable"),
        RefusalReason::StateUnavailable => return state_unavailable(dialect, provider, state),
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

/// Only the account that made it understands what the request carries; another would drop it or refuse.
fn state_unavailable(
    dialect: keypool_wire::Dialect,
    provider: &Provider,
    state: Option<&'static str>,
) -> Response<AnswerBody> {
    let state = state.unwrap_or("state of an earlier answer");
    let message = format!(
        "provider {}: the request carries {state} that only one account understands, and none of that \
         account's keys is usable; begin a new conversation, or take it out of the request",
        provider.name
    );
    let error = OwnError {
        status: 503,
        code: "state_unavailable",
        message,
    };
    error_response(dialect, &error, Retry::Never)
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
