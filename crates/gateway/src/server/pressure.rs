//! Whether a worker has more to do than it can, and which requests it then refuses.
//!
//! A server that takes in more than it can serve serves everybody late, and in the end nobody in time.
//! Each worker looks how late it is: it asks to be woken at an instant, and is woken behind all that is
//! waiting to be done. Late by more than the bound at two looks in a row, it has a standing queue and no
//! mere burst (the idea of RFC 8289), and refuses new requests before anything is done for them, until a
//! look finds it in time.
//!
//! Refusing is work, too. A worker that refuses as fast as it can may have no time left to serve. So it
//! refuses only so many a second; what it cannot refuse is served in its turn, later.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use crate::limits;

/// How much too much a worker has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Level {
    /// It keeps up.
    None,
    /// It refuses requests.
    High,
    /// It refuses critical requests, too.
    Extreme,
}

/// The pressure on one worker.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    level: AtomicU8,
    /// Refusals that may still be given until the next look.
    refusals: AtomicU32,
}

impl Pressure {
    /// Looks how late the worker is, again and again, for as long as others use this. `bound` tells how
    /// late it may be.
    pub(super) async fn watch(self: Arc<Self>, bound: impl Fn() -> Duration) {
        let mut was_late = false;
        while Arc::strong_count(&self) > 1 {
            let due = Instant::now() + limits::PRESSURE_LOOK;
            let cpu_before = cpu_time();
            tokio::time::sleep_until(due).await;
            let look = Look {
                late: due.elapsed(),
                cpu: cpu_time().saturating_sub(cpu_before),
            };
            let level = look.level(bound(), was_late);
            was_late = look.is_late(bound());
            self.level.store(level as u8, Ordering::Relaxed);
            self.refusals.store(look.refusals(), Ordering::Relaxed);
        }
    }

    /// Whether a request must be refused now; `is_critical` is asked only if it matters.
    pub(super) fn refuses(&self, is_critical: impl FnOnce() -> bool) -> bool {
        let level = self.level.load(Ordering::Relaxed);
        if level == Level::None as u8 || (level == Level::High as u8 && is_critical()) {
            return false;
        }
        let refusals = self.refusals.load(Ordering::Relaxed);
        self.refusals
            .store(refusals.saturating_sub(1), Ordering::Relaxed);
        refusals > 0
    }
}

/// What one look found.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// How late the worker was.
    late: Duration,
    /// What it used of a CPU meanwhile.
    cpu: Duration,
}

impl Look {
    /// Whether the worker was too late, because of its own work.
    fn is_late(self, bound: Duration) -> bool {
        let took = limits::PRESSURE_LOOK + self.late;
        self.late > bound && self.cpu * 100 > took * limits::PRESSURE_CPU_PERCENT
    }

    fn level(self, bound: Duration, was_late: bool) -> Level {
        if !was_late || !self.is_late(bound) {
            Level::None
        } else if self.late > bound * limits::PRESSURE_CRITICAL {
            Level::Extreme
        } else {
            Level::High
        }
    }

    /// Refusals that may be given for as long as the next look may take.
    fn refusals(self) -> u32 {
        let took = limits::PRESSURE_LOOK + self.late;
        let millis = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        millis.saturating_mul(limits::REFUSALS_PER_SECOND / 1000)
    }
}

/// What this thread has used of a CPU so far.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(late_ms: u64, cpu_ms: u64) -> Look {
        Look {
            late: Duration::from_millis(late_ms),
            cpu: Duration::from_millis(cpu_ms),
        }
    }

    const BOUND: Duration = Duration::from_millis(100);

    #[test]
    fn two_late_looks_in_a_row_raise_the_level_and_one_in_time_ends_it() {
        let mut was_late = false;
        for (late_ms, level) in [
            (150, Level::None),
            (150, Level::High),
            (500, Level::Extreme),
            (120, Level::High),
            (90, Level::None),
            (150, Level::None),
        ] {
            let look = look(late_ms, late_ms);
            assert_eq!(look.level(BOUND, was_late), level, "{late_ms}");
            was_late = look.is_late(BOUND);
        }
    }

    #[test]
    fn a_worker_that_had_no_cpu_of_its_own_is_not_overloaded() {
        assert_eq!(look(500, 10).level(BOUND, true), Level::None);
        assert_eq!(look(500, 100).level(BOUND, true), Level::Extreme);
    }

    #[test]
    fn refusals_are_counted_and_critical_requests_are_the_last_to_be_refused() {
        let pressure = Pressure::default();
        pressure.refusals.store(2, Ordering::Relaxed);
        assert!(!pressure.refuses(|| panic!("nobody asks while it keeps up")));
        pressure.level.store(Level::High as u8, Ordering::Relaxed);
        assert!(!pressure.refuses(|| true));
        assert!(pressure.refuses(|| false));
        pressure
            .level
            .store(Level::Extreme as u8, Ordering::Relaxed);
        assert!(pressure.refuses(|| true));
        assert!(
            !pressure.refuses(|| false),
            "there is no time to refuse more"
        );
    }

    #[tokio::test]
    async fn a_worker_that_is_kept_busy_is_found_out_and_recovers() {
        let pressure = Arc::new(Pressure::default());
        let watching = tokio::spawn(pressure.clone().watch(|| BOUND));
        let busy = Instant::now();
        let mut refused = false;
        while !refused && busy.elapsed() < Duration::from_secs(10) {
            let turn = Instant::now();
            while turn.elapsed() < BOUND * 2 {
                std::hint::spin_loop();
            }
            tokio::task::yield_now().await;
            refused = pressure.refuses(|| false);
        }
        assert!(refused);
        tokio::time::sleep(limits::PRESSURE_LOOK * 10).await;
        assert!(!pressure.refuses(|| false));
        drop(pressure);
        watching.await.unwrap();
    }
}
