//! What a key has done: counters, latencies, its last error.

use crate::bounds::ERROR_MESSAGE_MAX;
use crate::latency::Latencies;
use crate::outcome::{ErrorNote, FaultKind, Outcome, Suspicion, Usage, Verdict};
use crate::snapshot::ErrorCounts;
use crate::time::Timestamp;

#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) requests: u64,
    pub(crate) successes: u64,
    pub(crate) usage: Usage,
    pub(crate) last_used: Option<Timestamp>,
    pub(crate) counts: ErrorCounts,
    pub(crate) latencies: Latencies,
    pub(crate) last_error: Option<(Timestamp, ErrorNote)>,
}

impl Record {
    pub(crate) const fn granted(&mut self, now: Timestamp) {
        self.requests = self.requests.saturating_add(1);
        self.last_used = Some(now);
    }

    /// Counts the end of an attempt; health and meters are told elsewhere.
    pub(crate) fn ended(&mut self, now: Timestamp, outcome: &Outcome) {
        self.usage.add(&outcome.usage);
        let count = self.count_of(&outcome.verdict);
        *count = count.saturating_add(1);
        if outcome.verdict == Verdict::Success {
            self.latencies.record(outcome.latency);
        }
        if let Some(note) = &outcome.error {
            self.note_error(now, note);
        }
    }

    const fn count_of(&mut self, verdict: &Verdict) -> &mut u64 {
        let counts = &mut self.counts;
        match verdict {
            Verdict::Success => &mut self.successes,
            Verdict::ClientError | Verdict::Suspected(Suspicion::ModelDenied) => {
                &mut counts.client_error
            }
            Verdict::Cancelled => &mut counts.cancelled,
            Verdict::Overloaded | Verdict::NotServed => &mut counts.overloaded,
            Verdict::Fault(fault) | Verdict::Suspected(Suspicion::Fault(fault)) => match fault {
                FaultKind::ServerError => &mut counts.server_error,
                FaultKind::Timeout => &mut counts.timeout,
                FaultKind::Unreachable => &mut counts.unreachable,
                FaultKind::Reset => &mut counts.reset,
                FaultKind::Garbage => &mut counts.garbage,
            },
            Verdict::RateLimited { .. } => &mut counts.rate_limited,
            Verdict::Invalid
            | Verdict::Suspected(Suspicion::Invalid | Suspicion::AccountInvalid) => {
                &mut counts.invalid
            }
            Verdict::OutOfCredit { .. } => &mut counts.out_of_credit,
            Verdict::ModelDenied => &mut counts.model_denied,
        }
    }

    /// What was counted as a client's mistake was a refusal of the model for this key.
    pub(crate) const fn was_denied(&mut self) {
        self.counts.client_error = self.counts.client_error.saturating_sub(1);
        self.counts.model_denied = self.counts.model_denied.saturating_add(1);
    }

    pub(crate) fn note_error(&mut self, now: Timestamp, note: &ErrorNote) {
        let beginning = |text: &str| text.chars().take(ERROR_MESSAGE_MAX).collect();
        let note = ErrorNote {
            status: note.status,
            code: beginning(&note.code),
            message: beginning(&note.message),
        };
        self.last_error = Some((now, note));
    }
}
