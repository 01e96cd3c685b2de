//! Which scripted fault strikes a request, if any.

use fastrand::Rng;

use crate::{Endpoint, Fault, FaultWindow, SimTime};

/// The fault windows of one key, or those of all keys.
#[derive(Debug, Default)]
pub(crate) struct FaultScript {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    window: FaultWindow,
    set_at: SimTime,
    struck: u64,
}

/// A fault that is due, and where it stands in its script.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) fault: Fault,
    position: usize,
    own: bool,
}

impl Due {
    /// The same, out of the script for all keys.
    pub(crate) fn of_all_keys(self) -> Self {
        Self { own: false, ..self }
    }

    /// Whether it stands in the key's own script.
    pub(crate) fn is_own(&self) -> bool {
        self.own
    }
}

impl FaultScript {
    pub(crate) fn new(windows: Vec<FaultWindow>, now: SimTime) -> Self {
        let entry = |window| Entry {
            window,
            set_at: now,
            struck: 0,
        };
        Self {
            entries: windows.into_iter().map(entry).collect(),
        }
    }

    /// The first window that strikes now. It counts as used only with [`FaultScript::struck`].
    pub(crate) fn due(
        &self,
        now: SimTime,
        endpoint: Endpoint,
        model: &str,
        rng: &mut Rng,
    ) -> Option<Due> {
        self.entries
            .iter()
            .enumerate()
            .find_map(|(position, entry)| {
                let window = &entry.window;
                let elapsed = now.since(entry.set_at);
                let strikes = window.strikes(elapsed, entry.struck, endpoint, model)
                    && (window.share >= 1.0 || rng.f64() < window.share);
                strikes.then(|| Due {
                    fault: window.fault.clone(),
                    position,
                    own: true,
                })
            })
    }

    pub(crate) fn struck(&mut self, due: &Due) {
        if let Some(entry) = self.entries.get_mut(due.position) {
            entry.struck += 1;
        }
    }
}
