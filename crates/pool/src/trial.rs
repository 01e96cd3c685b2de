//! The way back: one request at a time until one succeeds.
//!
//! Without it a key whose cool-down ends takes a whole burst before the first answer tells that
//! the provider still refuses it.

use crate::bounds::TRIAL_PATIENCE;
use crate::time::Timestamp;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Trial {
    /// The key is trusted.
    #[default]
    Passed,
    /// The next request is the trial.
    Wanted,
    /// This lease is the trial.
    Running { lease: u64, since: Timestamp },
}

impl Trial {
    pub(crate) const fn is_running(self) -> bool {
        matches!(self, Self::Running { .. })
    }

    pub(crate) fn granted(&mut self, lease: u64, now: Timestamp) {
        if *self == Self::Wanted {
            *self = Self::Running { lease, since: now };
        }
    }

    /// A request ended; `passed` if the provider worked on it. Tells whether it was the trial.
    pub(crate) fn ended(&mut self, lease: u64, passed: bool) -> bool {
        let was_trial = matches!(*self, Self::Running { lease: on_trial, .. } if on_trial == lease);
        if was_trial {
            *self = if passed { Self::Passed } else { Self::Wanted };
        }
        was_trial
    }

    /// A request that has run for so long was not refused.
    pub(crate) fn lapses_at(self) -> Option<Timestamp> {
        match self {
            Self::Running { since, .. } => Some(since + TRIAL_PATIENCE),
            Self::Passed | Self::Wanted => None,
        }
    }

    /// Whether it just passed by lapse of time.
    pub(crate) fn elapse(&mut self, now: Timestamp) -> bool {
        let lapsed = self.lapses_at().is_some_and(|at| at <= now);
        if lapsed {
            *self = Self::Passed;
        }
        lapsed
    }
}
