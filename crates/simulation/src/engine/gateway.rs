//! The gateway's part: asking, waiting, judging, settling, asking again.
//!
//! The rules are those of the gateway's attempt loop: what a failure means is the pool's to say
//! ([`keypool_pool::Course`]), a request that lost its key goes before others, and one whose keys all failed
//! in a way that may pass comes again after a pause.

use std::time::Duration;

use keypool_pool::{
    Admission, Charge, Course, Demand, ErrorNote, Failed, FaultKind, KeyId, Lease, Next, Outcome,
    Refusal, RefusalReason, Suspicion, Timestamp, Turn, Usage, Verdict, Wait, WaiterId,
};
use keypool_wire::Judgement;

use super::{Attempt, Close, Engine, Event, Request};
use crate::report::BROKEN_OFF;
use crate::scenario::Scenario;
use crate::tally::End;
use crate::world;

/// Attempts after which a request is given up: the real bound is its deadline.
const ATTEMPTS_MAX: u32 = 64;

/// Bytes of a prompt's token, for the queue's bound on bytes.
const BYTES_PER_TOKEN: u64 = 4;

/// A demand with what it borrows.
pub(super) struct OwnDemand<'a> {
    model: &'a str,
    class: &'a str,
    tokens: (u64, u64),
    excluded: &'a [KeyId],
    is_retry: bool,
    session: Option<u64>,
    wait: Wait,
}

impl OwnDemand<'_> {
    pub(super) fn view(&self) -> Demand<'_> {
        Demand {
            model: self.model,
            model_class: Some(self.class),
            input_tokens: self.tokens.0,
            output_tokens: self.tokens.1,
            tags: &[],
            excluded: self.excluded,
            session: self.session,
            state: &[],
            is_retry: self.is_retry,
            wait: Some(self.wait),
        }
    }
}

/// What a request asks of the pool.
pub(super) fn demand<'a>(scenario: &Scenario, request: &'a Request) -> OwnDemand<'a> {
    let kind = scenario.provider.kind();
    let ask = &request.ask;
    OwnDemand {
        model: &ask.model,
        class: keypool_wire::model_class(kind, &ask.model),
        tokens: keypool_wire::reservation(
            kind,
            scenario.provider.wire_endpoint(),
            ask.estimate,
            ask.max_tokens,
        ),
        excluded: request.course.tried(),
        is_retry: request.course.is_retry(),
        session: ask.session,
        wait: Wait {
            until: request.deadline,
            since: request.waiting_since,
            urgency: ask.urgency,
            tenant: ask.tenant,
            weight: ask.weight,
            bytes: ask.estimate.saturating_mul(BYTES_PER_TOKEN),
            resumed: request.attempts > 0,
        },
    }
}

impl Engine<'_> {
    pub(super) fn arrives(&mut self) {
        let Some(ask) = self.next_ask.take() else {
            return;
        };
        self.plan_arrival();
        let id = self.next_request;
        self.next_request += 1;
        self.tally.arrived(self.now);
        if let Some(after) = ask.leaves_after_us {
            let at = self.now + Duration::from_micros(after);
            self.plan(at, Event::Leave(id));
        }
        let request = Request {
            deadline: self.now + Duration::from_millis(self.scenario.patience_ms),
            ask,
            course: Course::default(),
            attempts: 0,
            out_of_quota: false,
            failure: None,
            waiter: None,
            waiting_since: self.now,
            waited: Duration::ZERO,
            attempt: None,
        };
        self.requests.insert(id, request);
        self.asks(id);
    }

    /// Asks the pool for a key.
    pub(super) fn asks(&mut self, id: u64) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        if request.attempts > 0 && (self.now >= request.deadline || request.attempts > ATTEMPTS_MAX)
        {
            return self.gives_up(id, None);
        }
        request.waiting_since = self.now;
        let request = &*request;
        let demand = demand(self.scenario, request);
        match self.pool.handle_request(self.now, &demand.view()) {
            Admission::Granted(lease) => self.granted(id, lease),
            Admission::Queued(waiter) => {
                self.watch.waits(waiter, request.deadline);
                self.waiting.insert(waiter, id);
                if let Some(request) = self.requests.get_mut(&id) {
                    request.waiter = Some(waiter);
                }
            }
            Admission::Refused(refusal) => self.refused(id, &refusal),
        }
    }

    pub(super) fn turn_comes(&mut self, waiter: WaiterId, turn: Turn) {
        self.watch.waits_no_more(waiter);
        let Some(id) = self.waiting.remove(&waiter) else {
            self.watch.fail(&format!(
                "the turn of {waiter:?} has come, who does not wait"
            ));
        };
        if let Some(request) = self.requests.get_mut(&id) {
            request.waiter = None;
        }
        match turn {
            Turn::Granted(lease) => self.granted(id, lease),
            Turn::Refused(refusal) => self.refused(id, &refusal),
        }
    }

    fn granted(&mut self, id: u64, lease: Lease) {
        let Some(request) = self.requests.get_mut(&id) else {
            self.watch
                .fail("a key is granted to a request that has ended");
        };
        let waited = self.now.saturating_duration_since(request.waiting_since);
        request.waited += waited;
        request.attempts += 1;
        let key = world::position_of(lease.key());
        let request = &*request;
        self.watch.granted(
            self.now,
            &mut self.pool,
            &lease,
            (&request.ask.model, request.deadline, request.course.tried()),
            self.scenario.provider.kind(),
        );
        self.tally.granted(key);
        let transit = self.transit();
        let at = self.now + transit;
        if let Some(request) = self.requests.get_mut(&id) {
            request.course.attempting(&lease);
            request.attempt = Some(Attempt {
                lease: Some(lease),
                key,
                sent_us: self.now.as_unix_micros(),
                reply: None,
                ticket: None,
                request_id: String::new(),
                headers: Vec::new(),
                pieces: Vec::new(),
                pace: Duration::ZERO,
                written: 0,
                close: Close::Complete,
                back_us: 0,
            });
        }
        self.plan(at, Event::AtProvider(id));
    }

    fn refused(&mut self, id: u64, refusal: &Refusal) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let waited = self.now.saturating_duration_since(request.waiting_since);
        request.waited += waited;
        let (model, course) = (&request.ask.model, &mut request.course);
        let pause = self
            .pool
            .handle_exhausted(self.now, model, course, refusal.reason);
        if let Some(pause) = pause.filter(|&pause| self.now + pause < request.deadline) {
            let at = self.now + pause;
            return self.plan(at, Event::Again(id));
        }
        self.gives_up(id, Some(refusal));
    }

    /// Nothing more is tried.
    fn gives_up(&mut self, id: u64, refusal: Option<&Refusal>) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let end = match (&request.failure, refusal.map(|refusal| refusal.reason)) {
            (None, Some(RefusalReason::NoRoom | RefusalReason::AllTried)) => End::ToldToWait,
            (Some(_), _) if request.out_of_quota => End::ToldToWait,
            (Some(failure), _) => End::Failed(failure.clone()),
            (None, Some(reason)) => End::Failed(reason.to_string()),
            (None, None) => End::Failed("out of time".to_owned()),
        };
        self.ended(id, end);
    }

    /// The one end of a request.
    fn ended(&mut self, id: u64, end: End) {
        let Some(request) = self.requests.remove(&id) else {
            self.watch.fail("a request ends twice");
        };
        let (model, course) = (&request.ask.model, &request.course);
        match end {
            End::Answered => self.pool.handle_served(self.now, model, course),
            End::Left => {}
            End::ToldToWait | End::Failed(_) => {
                self.pool.handle_unserved(self.now, model, course);
            }
        }
        self.tally
            .ended(request.ask.at_us, self.now, request.waited, end);
    }

    pub(super) fn leaves(&mut self, id: u64) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        if let Some(waiter) = request.waiter.take() {
            self.waiting.remove(&waiter);
            self.watch.waits_no_more(waiter);
            self.pool.cancel(self.now, waiter);
        }
        if let Some(mut attempt) = request.attempt.take() {
            if let Some(ticket) = attempt.ticket.take() {
                let now = super::sim_time(self.now);
                self.model
                    .finish(now, ticket, keypool_sim::model::Ending::Cancelled);
            }
            if let Some(lease) = attempt.lease.take() {
                self.drop_lease(lease);
            }
        }
        self.ended(id, End::Left);
    }

    /// The attempt of a request, taken out of it with its lease.
    pub(super) fn take_attempt(&mut self, id: u64) -> Option<(Attempt, Lease, Duration)> {
        let request = self.requests.get_mut(&id)?;
        let mut attempt = request.attempt.take()?;
        let lease = attempt.lease.take()?;
        let sent = Timestamp::from_unix_micros(attempt.sent_us);
        let latency = self.now.saturating_duration_since(sent);
        Some((attempt, lease, latency))
    }

    /// An answer came to a good end.
    pub(super) fn succeeds(&mut self, id: u64, used: &keypool_wire::Usage) {
        let Some((_, lease, latency)) = self.take_attempt(id) else {
            return;
        };
        let max_tokens = self
            .requests
            .get(&id)
            .and_then(|request| request.ask.max_tokens);
        let (input_tokens, output_tokens) =
            crate::capacity::charged(self.scenario, used, max_tokens);
        let outcome = Outcome {
            usage: Usage {
                input_tokens: used.input_tokens,
                output_tokens: used.output_tokens,
                cache_read_tokens: used.cache_read_tokens,
                cache_write_tokens: used.cache_write_tokens,
            },
            latency,
            ..Outcome::of(
                Verdict::Success,
                Charge::Actual {
                    input_tokens,
                    output_tokens,
                },
            )
        };
        self.settle(lease, &outcome);
        self.ended(id, End::Answered);
    }

    /// The provider refused, in words.
    pub(super) fn judged(&mut self, id: u64, judged: &Judgement, status: u16) {
        let Some((attempt, lease, latency)) = self.take_attempt(id) else {
            return;
        };
        let (verdict, failed) = crate::translate::meaning(judged, status);
        let outcome = Outcome {
            latency,
            error: Some(ErrorNote {
                status: Some(status),
                code: judged.code.clone(),
                message: judged.message.clone(),
            }),
            grew_too_fast: judged.growth,
            ..Outcome::of(verdict, Charge::RequestOnly)
        };
        self.settle(lease, &outcome);
        self.failed(id, attempt.key, failed, judged.code.clone());
    }

    /// Before its answer began, an attempt failed.
    fn failed(&mut self, id: u64, key: usize, failed: Failed, code: String) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        request.out_of_quota = failed == Failed::Quota;
        match request.course.failed(world::key_id(key), failed) {
            Next::OtherKey => {
                request.failure = Some(code);
                self.asks(id);
            }
            Next::SameKey(pause) => {
                request.failure = Some(code);
                let at = self.now + self.pool.jittered(pause);
                self.plan(at, Event::Again(id));
            }
            Next::OtherProvider | Next::GiveUp => self.ended(id, End::Failed(code)),
        }
    }

    /// The attempt came to nothing that could be judged; `before` the answer began another key may serve.
    pub(super) fn faulted(&mut self, id: u64, fault: FaultKind, before: bool) {
        let Some((attempt, lease, latency)) = self.take_attempt(id) else {
            return;
        };
        let suspicion = Suspicion::Fault(fault);
        let verdict = if before {
            Verdict::Suspected(suspicion)
        } else {
            Verdict::Fault(fault)
        };
        let outcome = Outcome {
            latency,
            ..Outcome::of(verdict, Charge::AsReserved)
        };
        self.settle(lease, &outcome);
        let code = format!("{fault:?}").to_lowercase();
        if before {
            self.failed(id, attempt.key, Failed::Suspected(suspicion), code);
        } else {
            self.begun(id);
            self.ended(id, End::Failed(format!("{BROKEN_OFF}{code}")));
        }
    }

    /// The answer began, whatever became of it: the request was served.
    fn begun(&mut self, id: u64) {
        if let Some(request) = self.requests.get_mut(&id) {
            let course = std::mem::take(&mut request.course);
            self.pool
                .handle_served(self.now, &request.ask.model, &course);
        }
    }
}
