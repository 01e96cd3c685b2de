//! How far a request has come at one of its targets, and what the target's pool hears of it.

use std::time::Duration;

use keypool_pool::{Course, Refusal, RefusalReason};

use crate::routing::Target;
use crate::traffic::intake::BodyShare;
use crate::traffic::translation::Outbound;

/// A target, and how far the request has come there.
pub(super) struct Stage<'t> {
    pub(super) target: &'t Target,
    /// The request in the target's API, if that is another than the client's, and what it takes of the memory
    /// for bodies.
    pub(super) translated: Option<(Outbound, BodyShare)>,
    pub(super) course: Course,
    /// To be slept before its keys are tried once more.
    pub(super) pause: Option<Duration>,
    /// Nothing more can be tried there.
    pub(super) over: bool,
}

impl<'t> Stage<'t> {
    /// A request that has not been there yet.
    pub(super) fn new(target: &'t Target, max_replays: Option<u32>) -> Self {
        Self {
            target,
            translated: None,
            course: Course::new(max_replays),
            pause: None,
            over: false,
        }
    }

    /// The pool has no key for the request now.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        let pool = &self.target.provider.pool;
        let (model, course) = (&self.target.model, &mut self.course);
        self.pause =
            pool.with(|pool, now| pool.handle_exhausted(now, model, course, refusal.reason));
        let waits = refusal.reason == RefusalReason::NoRoom && !self.course.may_pass();
        self.over = self.pause.is_none() && !waits;
    }

    /// One of its keys answers the request.
    pub(super) fn served(&mut self) {
        let pool = &self.target.provider.pool;
        let course = std::mem::take(&mut self.course);
        if course.has_failed() || pool.is_troubled() {
            pool.with(|pool, now| pool.handle_served(now, &self.target.model, &course));
        }
    }

    /// The provider turned the request down as the client's mistake.
    pub(super) fn rejected(&mut self) {
        let pool = &self.target.provider.pool;
        let course = std::mem::take(&mut self.course);
        if pool.is_troubled() {
            pool.with(|pool, now| pool.handle_rejected(now, &self.target.model, &course));
        }
    }

    /// Nothing more is tried there.
    pub(super) fn close(&self) {
        if self.course.has_failed() {
            let pool = &self.target.provider.pool;
            pool.with(|pool, now| pool.handle_unserved(now, &self.target.model, &self.course));
        }
    }

    /// A pause of a random length up to this one.
    pub(super) fn jittered(&self, longest: Duration) -> Duration {
        let pool = &self.target.provider.pool;
        pool.with(|pool, _| pool.jittered(longest))
    }
}
