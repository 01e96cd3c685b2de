//! One request's way through the keys of one pool: what a failed attempt means for what comes next, and
//! who is to blame in the end.
//!
//! What it prevents: a good key that is punished for a request which no key could serve, or for a
//! provider's bad minute; and a client that sees an error which another key, or the same one a moment
//! later, would not have made.
//!
//! - What could be the key's fault is held as a suspicion. If another key serves the request, the suspect
//!   is blamed ([`Pool::handle_served`](crate::Pool::handle_served)). If none does, and several were
//!   tried, nobody is: the trouble is the provider's, and its circuit breaker counts it.
//! - The same doubt about the *model* from a second key condemns the request: it goes back at once.
//! - When all keys have been tried and the trouble may pass, they are tried again after a pause, up to
//!   [`ROUNDS_MAX`](crate::bounds::ROUNDS_MAX) rounds in all.
//!
//! Worked example: of three keys one answers 500, the next 503, and the third serves. The first two are
//! blamed, 5 points each. Had the third failed, too, all three would be tried again after at most 250 ms.

use std::time::Duration;

use smallvec::SmallVec;

use crate::bounds::{ROUND_PAUSE, ROUNDS_MAX};
use crate::id::KeyId;
use crate::lease::Lease;
use crate::outcome::{FaultKind, Suspicion};
use crate::time::Timestamp;

/// What a failed attempt was, as far as the request is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The request is at fault: no key could serve it.
    Request,
    /// The key has no quota left; its cool-down keeps the request off it until it has.
    Quota,
    /// For certain the key cannot serve this request: it is without money, barred, or its limit is smaller
    /// than the request.
    Key,
    /// No key of this provider can serve it, though another provider may.
    Provider,
    /// A lock or a timeout within the provider: the same key may serve it, once more.
    Conflict,
    /// The provider has too much to do, whoever asks.
    Overloaded,
    /// The key may be at fault, the request, or the provider.
    Suspected(Suspicion),
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask the pool for another key.
    OtherKey,
    /// Ask the pool again after a pause of a random length up to this one; the key may be the same.
    SameKey(Duration),
    /// Try another provider, if there is one.
    OtherProvider,
    /// Hand the failure to the client.
    GiveUp,
}

/// The state of a request at one pool: which keys it has tried, whom it suspects, and what comes next.
///
/// [`Self::failed`] says what follows a failed attempt. When the pool has no other key for it,
/// [`Pool::handle_exhausted`](crate::Pool::handle_exhausted) says whether there is another round. At the end
/// [`Pool::handle_served`](crate::Pool::handle_served) or
/// [`Pool::handle_unserved`](crate::Pool::handle_unserved) blames whom there is to blame.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// Not to be drawn again in this round.
    tried: Vec<KeyId>,
    /// Those of them that may do better in the next round.
    may_recover: SmallVec<[KeyId; 4]>,
    suspects: SmallVec<[(KeyId, Suspicion); 4]>,
    rounds: u32,
    same_key_retried: bool,
    /// How often the request may be sent again though the provider may have worked on it.
    replays_left: Option<u32>,
    overloaded: bool,
    /// Nobody is blamed unless another key serves: several keys failed, or the pool kept others from being
    /// asked because of what other requests met.
    excused: bool,
    granted_at: Timestamp,
    /// The key of the last attempt.
    asked: Option<KeyId>,
}

impl Course {
    /// A request that may be sent again at most `max_replays` times after its body had been sent and no
    /// answer came; `None` for as often as there are keys and rounds.
    #[must_use]
    pub fn new(max_replays: Option<u32>) -> Self {
        Self {
            replays_left: max_replays,
            ..Self::default()
        }
    }

    /// Keys that must not be drawn again: [`Demand::excluded`](crate::Demand::excluded).
    #[must_use]
    pub fn tried(&self) -> &[KeyId] {
        &self.tried
    }

    /// Whether the next attempt is one too many for a provider in trouble:
    /// [`Demand::is_retry`](crate::Demand::is_retry). An attempt after one that was out of quota is not.
    #[must_use]
    pub fn is_retry(&self) -> bool {
        !self.may_recover.is_empty() || self.rounds > 0
    }

    /// An attempt begins.
    pub fn attempting(&mut self, lease: &Lease) {
        self.granted_at = lease.granted_at();
        self.asked = Some(lease.key());
    }

    /// A key was granted that cannot be used; it is not to be drawn again.
    pub fn skip(&mut self, key: KeyId) {
        self.tried.push(key);
    }

    /// An attempt failed.
    pub fn failed(&mut self, key: KeyId, failed: Failed) -> Next {
        match failed {
            Failed::Request => Next::GiveUp,
            Failed::Provider => Next::OtherProvider,
            Failed::Quota => Next::OtherKey,
            Failed::Key => {
                self.tried.push(key);
                Next::OtherKey
            }
            Failed::Conflict if self.same_key_retried => Next::GiveUp,
            Failed::Conflict => {
                self.same_key_retried = true;
                Next::SameKey(ROUND_PAUSE)
            }
            Failed::Overloaded => {
                self.overloaded = true;
                self.exclude_for_now(key);
                Next::OtherKey
            }
            Failed::Suspected(suspicion) => self.suspected(key, suspicion),
        }
    }

    fn suspected(&mut self, key: KeyId, suspicion: Suspicion) -> Next {
        match suspicion {
            Suspicion::ModelDenied => {
                let seconded = |&(other, known): &(KeyId, Suspicion)| {
                    known == Suspicion::ModelDenied && other != key
                };
                if self.suspects.iter().any(seconded) {
                    // Two keys say the same of the model: it is the request's.
                    self.suspects
                        .retain(|(_, known)| *known != Suspicion::ModelDenied);
                    return Next::GiveUp;
                }
                self.tried.push(key);
            }
            Suspicion::Invalid | Suspicion::AccountInvalid => self.tried.push(key),
            Suspicion::Fault(_) => self.exclude_for_now(key),
        }
        match self.suspects.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = suspicion,
            None => self.suspects.push((key, suspicion)),
        }
        if suspicion.may_have_run() {
            match &mut self.replays_left {
                Some(0) => return Next::GiveUp,
                Some(left) => *left -= 1,
                None => {}
            }
        }
        Next::OtherKey
    }

    fn exclude_for_now(&mut self, key: KeyId) {
        self.tried.push(key);
        self.may_recover.push(key);
    }

    /// Whether it met a failure whose cause is still to be found.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        !self.suspects.is_empty() || self.is_retry()
    }

    /// Whether some failure of this round may pass by itself.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        !self.may_recover.is_empty()
    }

    /// Whether no failure of this round came from further than the connection.
    pub(crate) fn is_unreachable(&self) -> bool {
        let unreachable = Suspicion::Fault(FaultKind::Unreachable);
        let mut faults = self
            .suspects
            .iter()
            .filter(|(_, known)| matches!(known, Suspicion::Fault(_)))
            .peekable();
        !self.overloaded
            && faults.peek().is_some()
            && faults.all(|&(_, known)| known == unreachable)
    }

    /// When the last attempt was granted.
    pub(crate) const fn granted_at(&self) -> Timestamp {
        self.granted_at
    }

    /// Other keys were not asked, since of late all failed.
    pub(crate) const fn excuse(&mut self) {
        self.excused = true;
    }

    /// All keys that could be asked failed. The next round may begin after a pause of a random length up
    /// to the returned one.
    pub(crate) fn end_round(&mut self) -> Option<Duration> {
        if !self.may_pass() {
            return None;
        }
        self.rounds += 1;
        if self.overloaded || self.fault_suspects() > 1 {
            // Not one key, so the provider.
            self.excused = true;
            self.suspects
                .retain(|(_, known)| !matches!(known, Suspicion::Fault(_)));
        }
        let recovering = std::mem::take(&mut self.may_recover);
        if self.rounds >= ROUNDS_MAX {
            return None;
        }
        self.tried.retain(|key| !recovering.contains(key));
        self.overloaded = false;
        Some(ROUND_PAUSE.saturating_mul(1 << (self.rounds - 1).min(8)))
    }

    /// Keys that the provider refused for this request.
    pub(crate) fn refused_by(&self) -> impl Iterator<Item = KeyId> + '_ {
        let refused = self.suspects.iter();
        refused
            .filter(|(_, known)| known.is_refusal())
            .map(|&(key, _)| key)
    }

    /// Probes are under way that will tell whether the keys which refused the request are dead: a pause for
    /// that, after which they may be asked again.
    pub(crate) fn await_probe(&mut self) -> Option<Duration> {
        self.rounds += 1;
        let refused: SmallVec<[KeyId; 4]> = self.refused_by().collect();
        self.tried.retain(|key| !refused.contains(key));
        (self.rounds < ROUNDS_MAX).then_some(ROUND_PAUSE)
    }

    fn fault_suspects(&self) -> usize {
        let faults = self.suspects.iter();
        faults
            .filter(|(_, known)| matches!(known, Suspicion::Fault(_)))
            .count()
    }

    /// Whom to blame, since the key of the last attempt served the request: what it did itself was a fault
    /// at most.
    pub(crate) fn blamed(&self) -> impl Iterator<Item = (KeyId, Suspicion)> + '_ {
        let suspects = self.suspects.iter().copied();
        suspects.filter(|&(key, suspicion)| {
            Some(key) != self.asked || matches!(suspicion, Suspicion::Fault(_))
        })
    }

    /// Whom to blame although nobody served the request: the only key that could be asked.
    pub(crate) fn sole_suspect(&self) -> Option<(KeyId, Suspicion)> {
        match self.suspects.as_slice() {
            &[(key, suspicion @ Suspicion::Fault(_))] if !self.overloaded && !self.excused => {
                Some((key, suspicion))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAULT: Failed = Failed::Suspected(Suspicion::Fault(FaultKind::ServerError));
    const RESET: Failed = Failed::Suspected(Suspicion::Fault(FaultKind::Reset));
    const DENIED: Failed = Failed::Suspected(Suspicion::ModelDenied);

    fn key(number: u64) -> KeyId {
        KeyId::from_bits(number)
    }

    #[test]
    fn a_client_s_mistake_ends_it_at_once() {
        let mut course = Course::default();
        assert_eq!(course.failed(key(1), Failed::Request), Next::GiveUp);
        assert_eq!(course.sole_suspect(), None);
        assert_eq!(course.end_round(), None);
    }

    #[test]
    fn suspects_are_blamed_when_another_key_serves() {
        let mut course = Course::default();
        assert_eq!(course.failed(key(1), FAULT), Next::OtherKey);
        assert_eq!(course.failed(key(2), FAULT), Next::OtherKey);
        assert_eq!(course.tried(), [key(1), key(2)]);
        let blamed: Vec<KeyId> = course.blamed().map(|(key, _)| key).collect();
        assert_eq!(blamed, [key(1), key(2)]);
    }

    #[test]
    fn nobody_is_blamed_for_what_all_keys_met() {
        let mut course = Course::default();
        course.failed(key(1), FAULT);
        course.failed(key(2), FAULT);
        assert_eq!(course.end_round(), Some(ROUND_PAUSE));
        assert_eq!(course.blamed().count(), 0);
        assert_eq!(course.sole_suspect(), None);
        assert_eq!(course.tried(), [], "they may serve in the next round");
    }

    #[test]
    fn a_round_that_is_cut_short_blames_nobody_for_what_all_keys_met() {
        let mut course = Course::default();
        course.failed(key(1), FAULT);
        course.failed(key(2), FAULT);
        course.end_round();
        course.failed(key(1), FAULT);
        assert_eq!(course.sole_suspect(), None);
    }

    #[test]
    fn the_only_key_that_could_be_asked_is_blamed_once() {
        let mut course = Course::default();
        for _ in 0..ROUNDS_MAX {
            course.failed(key(1), FAULT);
            course.end_round();
        }
        let suspicion = Suspicion::Fault(FaultKind::ServerError);
        assert_eq!(course.sole_suspect(), Some((key(1), suspicion)));
        assert_eq!(course.blamed().count(), 1);
    }

    #[test]
    fn the_pauses_between_rounds_double_and_end() {
        let mut course = Course::default();
        let pauses: Vec<_> = (0..ROUNDS_MAX)
            .map(|_| {
                course.failed(key(1), FAULT);
                course.end_round()
            })
            .collect();
        assert_eq!(pauses, [Some(ROUND_PAUSE), Some(ROUND_PAUSE * 2), None]);
    }

    #[test]
    fn a_dead_key_is_not_asked_again_in_the_next_round() {
        let mut course = Course::default();
        course.failed(key(1), Failed::Suspected(Suspicion::Invalid));
        course.failed(key(2), Failed::Overloaded);
        assert!(course.end_round().is_some());
        assert_eq!(course.tried(), [key(1)]);
        assert_eq!(course.blamed().count(), 1, "the dead one stays a suspect");
    }

    #[test]
    fn two_keys_that_deny_the_model_condemn_the_request() {
        let mut course = Course::default();
        assert_eq!(course.failed(key(1), DENIED), Next::OtherKey);
        assert_eq!(course.failed(key(2), DENIED), Next::GiveUp);
        assert_eq!(course.blamed().count(), 0);
    }

    #[test]
    fn a_conflict_is_tried_once_more_with_the_same_key() {
        let mut course = Course::default();
        let next = course.failed(key(1), Failed::Conflict);
        assert_eq!(next, Next::SameKey(ROUND_PAUSE));
        assert_eq!(course.tried(), []);
        assert_eq!(course.failed(key(1), Failed::Conflict), Next::GiveUp);
    }

    #[test]
    fn what_may_have_run_is_sent_again_as_often_as_is_allowed() {
        let mut course = Course::new(Some(1));
        assert_eq!(
            course.failed(key(1), FAULT),
            Next::OtherKey,
            "an answer came"
        );
        assert_eq!(course.failed(key(2), RESET), Next::OtherKey);
        assert_eq!(course.failed(key(3), RESET), Next::GiveUp);
    }

    #[test]
    fn failing_to_connect_is_told_from_failing_to_answer() {
        let unreachable = Failed::Suspected(Suspicion::Fault(FaultKind::Unreachable));
        let mut course = Course::default();
        assert!(!course.is_unreachable());
        course.failed(key(1), unreachable);
        assert!(course.is_unreachable());
        course.failed(key(2), FAULT);
        assert!(!course.is_unreachable());
    }

    #[test]
    fn an_attempt_after_one_without_quota_is_no_retry() {
        let mut course = Course::default();
        course.failed(key(1), Failed::Quota);
        course.failed(key(2), Failed::Key);
        assert!(!course.is_retry());
        course.failed(key(3), FAULT);
        assert!(course.is_retry());
    }
}
