//! Whether a worker has more to do than it can, and which requests it then refuses.
//!
//! A server that takes in more than it can serve serves everybody late, and in the end nobody in time.
//! Each worker looks how late it is: it asks to be woken at an instant, and is woken behind all that is
//! waiting to be done. Late by more than the bound at every look for a while, it has a standing queue and no
//! mere burst (the idea of RFC 8289). From then on, until it has been in time for a longer while, it refuses new
//! requests whenever it is late, before anything is done for them: so the queue stays as short as the
//! bound, and the worker has always something to do.
//!
//! Refusing is work, too. A worker that refuses as fast as it can may have no time left to serve. So it
//! refuses only so many a second. What it lets in begins one at a time, each behind all that is ready to be
//! done then: what was begun is done with first, while it is still in the CPU's caches. How long the first in
//! that line has waited is how late the worker is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::limits;

/// The pressure on one worker.
#[derive(Debug)]
pub(super) struct Pressure {
    /// Whether it has more to do than it can: late requests are refused.
    is_overloaded: AtomicBool,
    /// How late the last look was, in microseconds.
    late_us: AtomicU64,
    /// When the next look is due, in microseconds after `origin`.
    due_us: AtomicU64,
    /// How late the worker may be, in microseconds.
    bound_us: AtomicU64,
    /// Refusals that may still be given until the next look.
    refusals: AtomicU32,
    /// Held by the request that begins next; the others stand in line.
    door: Mutex<()>,
    /// How long a request has waited at the door, at most, since the last look; in microseconds.
    waited_us: AtomicU64,
    origin: Instant,
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            is_overloaded: AtomicBool::new(false),
            late_us: AtomicU64::new(0),
            due_us: AtomicU64::new(u64::MAX),
            bound_us: AtomicU64::new(u64::MAX),
            refusals: AtomicU32::new(0),
            door: Mutex::default(),
            waited_us: AtomicU64::new(0),
            origin: Instant::now(),
        }
    }
}

impl Pressure {
    /// Looks how late the worker is, again and again, for as long as others use this. `bound` tells how
    /// late it may be.
    pub(super) async fn watch(self: Arc<Self>, bound: impl Fn() -> Duration) {
        let mut overload = Overload::default();
        while Arc::strong_count(&self) > 1 {
            let due = Instant::now() + limits::PRESSURE_LOOK;
            let cpu_before = cpu_time();
            self.due_us
                .store(micros(due - self.origin), Ordering::Relaxed);
            tokio::time::sleep_until(due).await;
            let late = due.elapsed();
            let waited = Duration::from_micros(self.waited_us.swap(0, Ordering::Relaxed));
            let look = Look {
                late: late.max(waited),
                took: limits::PRESSURE_LOOK + late,
                cpu: cpu_time().saturating_sub(cpu_before),
            };
            self.take(&mut overload, look, bound(), Instant::now());
        }
    }

    fn take(&self, overload: &mut Overload, look: Look, bound: Duration, now: Instant) {
        let is_overloaded = overload.take(look.is_late(bound), now);
        self.is_overloaded.store(is_overloaded, Ordering::Relaxed);
        // Late for want of a CPU, it would win nothing by refusing.
        let late = Some(look.late).filter(|_| look.is_late(bound));
        self.late_us
            .store(micros(late.unwrap_or_default()), Ordering::Relaxed);
        self.bound_us.store(micros(bound), Ordering::Relaxed);
        self.refusals.store(look.refusals(), Ordering::Relaxed);
    }

    /// Whether a request must be refused now; `is_critical` is asked only if it matters.
    pub(super) fn refuses(&self, is_critical: impl FnOnce() -> bool) -> bool {
        if !self.is_overloaded.load(Ordering::Relaxed) {
            return false;
        }
        // Late at the last look, or late for the next one already.
        let overdue_us =
            micros(self.origin.elapsed()).saturating_sub(self.due_us.load(Ordering::Relaxed));
        let late_us = self.late_us.load(Ordering::Relaxed).max(overdue_us);
        let late_us = late_us.max(self.waited_us.load(Ordering::Relaxed));
        let bound_us = self.bound_us.load(Ordering::Relaxed);
        let is_extreme = late_us > bound_us.saturating_mul(limits::PRESSURE_CRITICAL);
        if late_us <= bound_us || (!is_extreme && is_critical()) {
            return false;
        }
        let refusals = self.refusals.load(Ordering::Relaxed);
        self.refusals
            .store(refusals.saturating_sub(1), Ordering::Relaxed);
        refusals > 0
    }

    /// Waits until a request that is not refused may begin.
    pub(super) async fn turn(&self) {
        if !self.is_overloaded.load(Ordering::Relaxed) {
            return;
        }
        let came = Instant::now();
        let _door = self.door.lock().await;
        // Woken behind all that is ready to be done, and behind what has come from the network meanwhile.
        tokio::task::yield_now().await;
        self.waited_us
            .fetch_max(micros(came.elapsed()), Ordering::Relaxed);
    }
}

/// Whether a worker has a standing queue, from what its looks found.
#[derive(Debug, Default)]
struct Overload {
    /// The first of the late looks that no timely one has followed yet.
    late_since: Option<Instant>,
    /// The last late look since it was overloaded; `None` while it is not.
    last_late: Option<Instant>,
}

impl Overload {
    /// Whether the worker is overloaded after one more look, at `now`.
    fn take(&mut self, is_late: bool, now: Instant) -> bool {
        if is_late {
            let since = *self.late_since.get_or_insert(now);
            if self.last_late.is_some() || now - since >= limits::PRESSURE_TIME {
                self.last_late = Some(now);
            }
        } else {
            self.late_since = None;
            self.last_late = self
                .last_late
                .filter(|last| now - *last < limits::PRESSURE_MEMORY);
        }
        self.last_late.is_some()
    }
}

/// What one look found.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// How late the worker was.
    late: Duration,
    /// How long it is since the look before.
    took: Duration,
    /// What it used of a CPU meanwhile.
    cpu: Duration,
}

impl Look {
    /// Whether the worker was too late, because of its own work.
    fn is_late(self, bound: Duration) -> bool {
        self.late > bound && self.cpu * 100 > self.took * limits::PRESSURE_CPU_PERCENT
    }

    /// Refusals that may be given for as long as the next look may take.
    fn refusals(self) -> u32 {
        let millis = u32::try_from(self.took.as_millis()).unwrap_or(u32::MAX);
        millis.saturating_mul(limits::REFUSALS_PER_SECOND / 1000)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
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
            took: limits::PRESSURE_LOOK + Duration::from_millis(late_ms),
            cpu: Duration::from_millis(cpu_ms),
        }
    }

    const BOUND: Duration = Duration::from_millis(100);

    #[test]
    fn a_burst_is_no_overload_and_a_standing_queue_is_one_until_it_has_been_gone_for_long() {
        let mut overload = Overload::default();
        let start = Instant::now();
        let mut at = |after: Duration, is_late| overload.take(is_late, start + after);
        let (time, memory) = (limits::PRESSURE_TIME, limits::PRESSURE_MEMORY);
        assert!(!at(Duration::ZERO, true));
        assert!(!at(time / 2, true));
        assert!(!at(time, false), "one look in time begins anew");
        assert!(!at(time, true));
        assert!(!at(time + time / 2, true));
        assert!(at(time * 2, true));
        assert!(at(time * 3, false));
        assert!(at(time * 4, true), "it has not been gone for long");
        assert!(at(time * 4 + memory / 2, false));
        assert!(!at(time * 4 + memory, false));
        assert!(!at(time * 5 + memory, true));
    }

    #[test]
    fn a_worker_that_had_no_cpu_of_its_own_is_not_late() {
        assert!(!look(500, 10).is_late(BOUND));
        assert!(look(500, 150).is_late(BOUND));
        assert!(!look(90, 90).is_late(BOUND));
    }

    #[test]
    fn while_overloaded_late_requests_are_refused_and_critical_ones_last() {
        let pressure = Pressure::default();
        let mut overload = Overload::default();
        let mut late = |late_ms: u64, after: Duration| {
            let now = pressure.origin + after;
            pressure.take(&mut overload, look(late_ms, late_ms), BOUND, now);
        };
        late(150, Duration::ZERO);
        assert!(!pressure.refuses(|| panic!("nobody asks while it is not overloaded")));
        late(150, limits::PRESSURE_TIME);
        assert!(!pressure.refuses(|| true));
        assert!(pressure.refuses(|| false));
        late(500, limits::PRESSURE_TIME);
        assert!(pressure.refuses(|| true));
        pressure.refusals.store(0, Ordering::Relaxed);
        assert!(
            !pressure.refuses(|| false),
            "there is no time to refuse more"
        );
        late(50, limits::PRESSURE_TIME);
        assert!(!pressure.refuses(|| false), "it is in time again");
        let unserved = look(500, 10);
        pressure.take(&mut Overload::default(), unserved, BOUND, pressure.origin);
        pressure.is_overloaded.store(true, Ordering::Relaxed);
        assert!(!pressure.refuses(|| false), "others had the CPU");
        pressure.due_us.store(0, Ordering::Relaxed);
        while pressure.origin.elapsed() <= BOUND {
            std::hint::spin_loop();
        }
        assert!(pressure.refuses(|| false), "the next look is late already");
        pressure.due_us.store(u64::MAX, Ordering::Relaxed);
        assert!(!pressure.refuses(|| false));
        pressure
            .waited_us
            .store(micros(BOUND) + 1, Ordering::Relaxed);
        assert!(pressure.refuses(|| false), "others wait for their turn");
    }

    /// What happens on a worker that has something to do at any time (`None`) and gets three requests.
    async fn turns(pressure: Pressure) -> Vec<Option<u8>> {
        let pressure = Arc::new(pressure);
        let log = Arc::new(std::sync::Mutex::new(Vec::new()));
        let requests: Vec<_> = (0..3)
            .map(|number| {
                let (pressure, log) = (pressure.clone(), log.clone());
                tokio::spawn(async move {
                    pressure.turn().await;
                    log.lock().unwrap().push(Some(number));
                })
            })
            .collect();
        let busy = log.clone();
        let busy = tokio::spawn(std::future::poll_fn(move |cx| {
            busy.lock().unwrap().push(None);
            cx.waker().wake_by_ref();
            std::task::Poll::<()>::Pending
        }));
        for request in requests {
            request.await.unwrap();
        }
        busy.abort();
        let mut log = std::mem::take(&mut *log.lock().unwrap());
        log.dedup();
        log
    }

    #[tokio::test]
    async fn an_overloaded_worker_begins_requests_one_at_a_time_behind_what_is_ready() {
        let overloaded = Pressure::default();
        overloaded.is_overloaded.store(true, Ordering::Relaxed);
        let in_turn = [None, Some(0), None, Some(1), None, Some(2)];
        assert_eq!(turns(overloaded).await[..6], in_turn);
        let at_once = [Some(0), Some(1), Some(2)];
        assert_eq!(turns(Pressure::default()).await[..3], at_once);
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
