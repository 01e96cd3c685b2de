//! What is said where nothing cured a request.

use std::time::Duration;

use http::Response;
use keypool_pool::{Refusal, RefusalReason, Timestamp};

use super::Journey;
use crate::answer::{Retry, error_response, stopping};
use crate::body::AnswerBody;
use crate::limits;
use crate::routing::Target;
use crate::traffic::failure::FailureKind;
use crate::traffic::refusals::{no_room, out_of_time, refused, unavailable};
use crate::traffic::request::{RequestFacts, TraceEnd};
use crate::traffic::stage::Stage;
use crate::traffic::trail::Trail;

impl Journey<'_> {
    /// Nothing cured it: the most useful thing to say to the client.
    pub(super) fn give_up(self, stages: &[Stage<'_>]) -> (Response<AnswerBody>, Trail) {
        let facts = self.request.facts.clone();
        let (response, trail) = self.last_word(stages);
        if let Some(stage) = stages.last() {
            trace_unserved(&facts, &trail, stage.target, &response);
        }
        (response, trail)
    }

    fn last_word(mut self, stages: &[Stage<'_>]) -> (Response<AnswerBody>, Trail) {
        let dialect = self.request.facts.endpoint.dialect();
        let was_dismissed = |(_, refusal): &(_, Refusal)| refusal.reason == RefusalReason::NoRoom;
        if self.means.core.is_draining() && self.last_refusal.as_ref().is_some_and(was_dismissed) {
            // Its time in the queue was cut short.
            return (stopping(dialect), self.trail);
        }
        let room_in = self.room_in(stages);
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
                FailureKind::Server if failure.is_temporary() => {
                    let wait = room_in.unwrap_or(limits::OVERLOAD_RETRY_AFTER);
                    failure.into_response(dialect, Retry::After(wait))
                }
                FailureKind::Request
                | FailureKind::Server
                | FailureKind::Timeout
                | FailureKind::Broken => {
                    let advice = failure.advice();
                    failure.into_response(dialect, advice)
                }
            },
            None => match &self.last_refusal {
                Some((provider, refusal)) => {
                    let state = self.request.facts.peek.state_name();
                    refused(dialect, provider, refusal, room_in, state)
                }
                None => match &self.untranslatable {
                    Some(error) => error_response(dialect, error, Retry::Never),
                    None => out_of_time(dialect),
                },
            },
        };
        (response, self.trail)
    }

    /// How long until some key of the targets has room for this request, if it ever will. The keys
    /// that were tried count again.
    fn room_in(&self, stages: &[Stage<'_>]) -> Option<Duration> {
        let now = self.means.core.time.now();
        let at = match &self.last_refusal {
            Some((_, refusal)) if refusal.reason == RefusalReason::NoRoom && stages.len() == 1 => {
                room_at(refusal)
            }
            _ => stages.iter().filter_map(|stage| self.room_at(stage)).min(),
        };
        at.map(|at| at.saturating_duration_since(now))
    }

    /// When a target has room for this request, if it ever will. The keys that were tried count again.
    pub(super) fn room_at(&self, stage: &Stage<'_>) -> Option<Timestamp> {
        let demand = self.demand(stage, None, None);
        let pool = &stage.target.provider.pool;
        match pool.with(|pool, now| pool.explain(now, &demand)).refusal {
            None => Some(self.means.core.time.now()),
            Some(refusal) => room_at(&refusal),
        }
    }
}

/// Tells whoever records traces of a request that got an error instead of an answer.
pub(super) fn trace_unserved(
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
