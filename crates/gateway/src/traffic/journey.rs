//! A request's way through targets and keys to an answer.
//!
//! As long as no byte of an answer has gone to the client, every failure that another key, another moment
//! or a fallback could cure is cured out of its sight: bounded by keys, by the deadline and by what a
//! provider in trouble may be asked, not by a count. What an attempt's failure means is the pool's to say
//! ([`keypool_pool::Course`]); this does it.
//!
//! Nobody waits for a target while a fallback has room: all targets are asked first, and only if none of
//! them has served is the one waited for that will have room first.

mod last_word;
mod sent;

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use keypool_pool::{Course, Demand, KeyId, Next, Refusal, RefusalReason, Turn, Wait};
use keypool_wire::OwnError;

use self::last_word::trace_unserved;
use crate::body::AnswerBody;
use crate::core::Core;
use crate::live::Live;
use crate::pool_shell::{Admitted, unused};
use crate::provider::Provider;
use crate::routing::{Routed, Target};
use crate::telemetry::POOL_LOG;
use crate::traffic::attempt::Attempt;
use crate::traffic::deferred::HoldOpen;
use crate::traffic::failure::Failure;
use crate::traffic::quota_report::model_class;
use crate::traffic::request::{ClientRequest, RequestFacts};
use crate::traffic::settlement::{Passed, Settlement};
use crate::traffic::stage::Stage;
use crate::traffic::trail::Trail;
use crate::traffic::translation::Outbound;
use crate::upstream::UpstreamClient;

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
    last_failure: Option<Failure>,
    last_refusal: Option<(Arc<Provider>, Refusal)>,
    /// Why it could not be written for a target of another API.
    untranslatable: Option<OwnError>,
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
            last_failure: None,
            last_refusal: None,
            untranslatable: None,
            failed: None,
        }
    }

    /// Runs it to its end.
    pub(super) async fn run(mut self, routed: &Routed) -> (Response<AnswerBody>, Trail) {
        self.trail.rule = routed.rule;
        let targets = self.bound_to(&routed.targets);
        let max_replays = self.means.live.config.retry.max_replays;
        let mut stages: Vec<Stage<'_>> = targets
            .iter()
            .map(|target| Stage::new(target, max_replays))
            .collect();
        let at_once = stages.len() > 1;
        let patience = if at_once {
            Patience::None
        } else {
            Patience::Queue
        };
        let mut served = None;
        for stage in &mut stages {
            served = self.try_target(stage, patience).await;
            if served.is_some() {
                break;
            }
        }
        if at_once
            && served.is_none()
            && let Some(stage) = self.first_with_room(&mut stages)
        {
            served = self.try_target(stage, Patience::Queue).await;
        }
        for stage in &stages {
            stage.close();
        }
        match served {
            Some(response) => (response, self.trail),
            None => self.give_up(&stages),
        }
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

    /// Where something can be tried still, and there will be room first.
    fn first_with_room<'s, 't>(&self, stages: &'s mut [Stage<'t>]) -> Option<&'s mut Stage<'t>> {
        let open = stages.iter_mut().filter(|stage| !stage.over);
        let rooms = open.filter_map(|stage| Some((self.room_at(stage)?, stage)));
        rooms.min_by_key(|&(at, _)| at).map(|(_, stage)| stage)
    }

    fn model_class<'t>(&self, target: &'t Target) -> &'t str {
        let kind = target.provider.settings().kind;
        model_class(kind, self.request.facts.endpoint, &target.model)
    }

    /// Tries the keys of one target until one answers, nothing more can be tried, or the request is at
    /// fault.
    async fn try_target(
        &mut self,
        stage: &mut Stage<'_>,
        patience: Patience,
    ) -> Option<Response<AnswerBody>> {
        let target = stage.target;
        if let Err(refusal) = self.translate(stage) {
            return refusal.map(|refusal| self.out_of_memory(target, refusal));
        }
        while !self.is_out_of_attempts() {
            if let Some(pause) = stage.pause.take() {
                self.rest(pause).await;
            }
            let settlement = match self.admit(stage, patience).await {
                Ok(settlement) => settlement,
                Err(NotAdmitted::SecretGone(key)) => {
                    stage.course.skip(key);
                    continue;
                }
                Err(NotAdmitted::Refused(refusal)) => {
                    stage.refused(&refusal);
                    if stage.pause.is_some() && patience == Patience::Queue {
                        continue;
                    }
                    self.last_refusal = Some((target.provider.clone(), refusal));
                    return None;
                }
            };
            // Not before: it may be a copy of the body, which nobody shall hold while he waits.
            let untouched;
            let outbound = if let Some((translated, _)) = &stage.translated {
                translated
            } else {
                untouched = self.untouched(target);
                &untouched
            };
            let _share = match self.share_of(stage, outbound, &settlement.key) {
                Ok(share) => share,
                Err(refusal) => {
                    settlement.give_back();
                    return Some(self.out_of_memory(target, refusal));
                }
            };
            self.tell_failover(&settlement);
            self.trail.attempts += 1;
            let failure = match self.attempt(target, outbound, settlement).await {
                Ok(response) => {
                    stage.served();
                    return Some(self.answered(target, response));
                }
                Err(failure) => failure,
            };
            self.failed = Some((failure.mask.clone(), failure.code.clone()));
            match stage.course.failed(failure.key, failure.failed) {
                Next::OtherKey => {}
                Next::SameKey(pause) => stage.pause = Some(stage.jittered(pause)),
                Next::OtherProvider => {
                    stage.over = true;
                    self.last_failure = Some(failure);
                    return None;
                }
                Next::GiveUp => {
                    if failure.is_client_s() {
                        stage.rejected();
                    }
                    let dialect = self.request.facts.endpoint.dialect();
                    let advice = failure.advice();
                    let response = failure.into_response(dialect, advice);
                    trace_unserved(&self.request.facts, &self.trail, target, &response);
                    return Some(response);
                }
            }
            self.last_failure = Some(failure);
        }
        None
    }

    fn answered(
        &self,
        target: &Target,
        mut response: Response<AnswerBody>,
    ) -> Response<AnswerBody> {
        let class = self.model_class(target);
        let dialect = self.request.facts.endpoint.dialect();
        target
            .provider
            .write_quota_headers(response.headers_mut(), dialect, class);
        response
    }

    /// Sleeps, but not beyond the deadline.
    async fn rest(&self, pause: Duration) {
        tokio::time::sleep(pause.min(self.time_left())).await;
    }

    /// A lease on a key that has room, now or when its turn comes.
    async fn admit(
        &mut self,
        stage: &mut Stage<'_>,
        patience: Patience,
    ) -> Result<Settlement, NotAdmitted> {
        let target = stage.target;
        let provider = &target.provider;
        let demand = self.demand(stage, Some(&stage.course), self.wait(stage, patience));
        let lease = match provider.pool.request(&demand) {
            Admitted::Granted(lease) => lease,
            Admitted::Refused(refusal) => return Err(NotAdmitted::Refused(refusal)),
            Admitted::Waiting(waiting) => {
                let began = self.means.core.time.now();
                let turn = match self.means.hold_open {
                    Some(hold_open) if self.request.facts.is_event_stream() => {
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
        stage.course.attempting(&lease);
        let traced = self.request.facts.trace.is_some();
        let passed = Passed {
            max_output_tokens: self.max_output_tokens(stage),
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
            target.endpoint,
            self.means.core.time.now(),
            passed,
        ))
    }

    /// The most tokens of output that the target is asked for.
    fn max_output_tokens(&self, stage: &Stage<'_>) -> Option<u64> {
        let peek = &self.request.facts.peek;
        let translated = stage.translated.as_ref();
        translated.map_or(peek.max_output_tokens, |(it, _)| it.max_output_tokens)
    }

    fn demand<'d>(
        &'d self,
        stage: &'d Stage<'_>,
        course: Option<&'d Course>,
        wait: Option<Wait>,
    ) -> Demand<'d> {
        let target = stage.target;
        let kind = target.provider.settings().kind;
        let RequestFacts { endpoint, peek, .. } = &*self.request.facts;
        let (input_tokens, output_tokens) = keypool_wire::reservation(
            kind,
            *endpoint,
            peek.input_tokens,
            self.max_output_tokens(stage),
        );
        Demand {
            model: &target.model,
            model_class: Some(model_class(kind, *endpoint, &target.model)),
            input_tokens,
            output_tokens,
            tags: &self.request.tags,
            excluded: course.map_or(&[], Course::tried),
            is_retry: course.is_some_and(Course::is_retry),
            session: self.request.session,
            state: stage
                .translated
                .as_ref()
                .map_or(&peek.state_ids, |(it, _)| &it.state_ids),
            wait,
        }
    }

    /// How the request waits, if it may.
    fn wait(&self, stage: &Stage<'_>, patience: Patience) -> Option<Wait> {
        let queue = &self.means.live.config.queue;
        if !queue.enabled || patience == Patience::None {
            return None;
        }
        let patience_left = queue.max_wait.saturating_sub(self.trail.queued);
        if patience_left.is_zero() {
            return None;
        }
        let tenant = self.request.tenant;
        let translated = stage.translated.as_ref();
        let bytes = self.request.body.len() + translated.map_or(0, |(it, _)| it.body.len());
        Some(Wait {
            until: self
                .request
                .deadline
                .min(self.means.core.time.now() + patience_left),
            since: self.request.arrived,
            urgency: self.request.urgency,
            tenant: keypool_wire::session_hash(tenant.name),
            weight: tenant.weight,
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
            resumed: self.trail.attempts > 0,
        })
    }

    async fn attempt(
        &mut self,
        target: &Target,
        outbound: &Outbound,
        settlement: Settlement,
    ) -> Result<Response<AnswerBody>, Failure> {
        let request = &self.request;
        let measurements = &target.provider.measurements;
        let started = self.means.core.time.now();
        self.trail.served_by = Some((target.provider.name.clone(), settlement.key.mask.clone()));
        let translation = outbound.translation.as_deref();
        self.trail.translation = translation.map(|translation| translation.told().clone());
        if let Some(told) = &self.trail.translation {
            tracing::debug!(
                request = %request.facts.id,
                provider = %target.provider.name,
                "translated: {}",
                String::from_utf8_lossy(told.as_bytes()),
            );
        }
        let attempt = Attempt {
            upstream: self.means.upstream,
            measurements: &self.means.core.measurements,
            timeouts: &self.means.live.config.timeouts,
            request,
            model: &target.model,
            outbound,
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
}
