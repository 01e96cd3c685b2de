//! Whether a worker has more to do than it can, and what it then does with new requests.
//!
//! A server that takes in more than it can serve serves everybody late, and in the end nobody in time.
//! Each worker looks how late it is: it asks to be woken at an instant, and is woken behind all that is
//! waiting to be done. Late by more than the bound at every look for a while, it has a standing queue and no
//! mere burst (the idea of RFC 8289). From then on, until it has been in time for a longer while, new requests
//! stand at a door, before anything is done for them:
//!
//! - They begin one at a time, each behind all that is ready to be done then. What was begun is done with first,
//!   while it is still in the CPU's caches.
//! - The newest begins first. It has the most patience left, and its connection was just read. (Facebook's
//!   "adaptive LIFO"; Maurer, Fail at Scale, ACM Queue 2015.)
//! - Those that have stood there for longer than the bound are refused, the oldest first. Refusing is work, too: so
//!   it is only so many a second.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::limits;

/// The pressure on one worker.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    /// Whether it has more to do than it can: new requests stand at the door.
    is_overloaded: AtomicBool,
    door: Arc<Door>,
}

impl Pressure {
    /// Looks how late the worker is, again and again, for as long as others use this. `bound` tells how
    /// late it may be.
    pub(super) async fn watch(self: Arc<Self>, bound: impl Fn() -> Duration) {
        let mut overload = Overload::default();
        while Arc::strong_count(&self) > 1 {
            let due = Instant::now() + limits::PRESSURE_LOOK;
            let cpu_before = cpu_time();
            tokio::time::sleep_until(due).await;
            let now = Instant::now();
            let late = now - due;
            let look = Look {
                late: late.max(self.door.longest_wait(now)),
                took: limits::PRESSURE_LOOK + late,
                cpu: cpu_time().saturating_sub(cpu_before),
            };
            self.take(&mut overload, look, bound(), now);
        }
    }

    fn take(&self, overload: &mut Overload, look: Look, bound: Duration, now: Instant) {
        let is_overloaded = overload.take(look.is_late(bound), now);
        self.is_overloaded.store(is_overloaded, Ordering::Relaxed);
        // Late for want of a CPU, it would win nothing by refusing.
        if look.is_late(bound) {
            self.door.refuse(bound, look.refusals(), now);
        }
    }

    /// Waits until a request may begin; false if it must be refused. `is_critical` is asked only if it matters.
    pub(super) async fn admits(&self, is_critical: impl FnOnce() -> bool) -> bool {
        if !self.is_overloaded.load(Ordering::Relaxed) {
            return true;
        }
        let Some(_turn) = self.door.turn(is_critical()).await else {
            return false;
        };
        // Woken behind all that is ready to be done, and behind what has come from the network meanwhile.
        tokio::task::yield_now().await;
        true
    }
}

/// Where requests stand until they may begin.
#[derive(Debug, Default)]
struct Door(Mutex<Line>);

#[derive(Debug, Default)]
struct Line {
    /// Whether some request has the turn.
    is_taken: bool,
    /// The others, the newest last.
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    is_critical: bool,
    turn: oneshot::Sender<Turn>,
}

/// The right to begin. Dropped, wherever that is, it goes to the newest that waits.
#[derive(Debug)]
struct Turn(Option<Arc<Door>>);

impl Door {
    /// Waits for the turn; `None` if the request is refused.
    async fn turn(self: &Arc<Self>, is_critical: bool) -> Option<Turn> {
        let turn = {
            let mut line = self.0.lock();
            if !line.is_taken {
                line.is_taken = true;
                return Some(Turn(Some(self.clone())));
            }
            let (sender, turn) = oneshot::channel();
            line.waiting.push_back(Waiting {
                since: Instant::now(),
                is_critical,
                turn: sender,
            });
            turn
        };
        turn.await.ok()
    }

    fn longest_wait(&self, now: Instant) -> Duration {
        let line = self.0.lock();
        let oldest = line.waiting.front();
        oldest.map_or(Duration::ZERO, |oldest| now - oldest.since)
    }

    /// Refuses the oldest of those that have waited for longer than `bound`, at most so many of them.
    fn refuse(&self, bound: Duration, most: usize, now: Instant) {
        let mut line = self.0.lock();
        let is_refused = |oldest: &mut Waiting| {
            let times = if oldest.is_critical {
                limits::PRESSURE_CRITICAL
            } else {
                1
            };
            now - oldest.since > bound * times
        };
        for _ in 0..most {
            if line.waiting.pop_front_if(is_refused).is_none() {
                break;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(door) = self.0.take() else {
            return;
        };
        let mut line = door.0.lock();
        line.is_taken = false;
        while let Some(newest) = line.waiting.pop_back() {
            match newest.turn.send(Turn(Some(door.clone()))) {
                Ok(()) => {
                    line.is_taken = true;
                    break;
                }
                // Its client has left.
                Err(mut turn) => turn.0 = None,
            }
        }
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

    /// Refusals that may be given for the time since the look before.
    fn refusals(self) -> usize {
        let millis = usize::try_from(self.took.as_millis()).unwrap_or(usize::MAX);
        millis.saturating_mul(limits::REFUSALS_PER_MS)
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

    fn overloaded() -> Arc<Pressure> {
        let pressure = Pressure::default();
        pressure.is_overloaded.store(true, Ordering::Relaxed);
        Arc::new(pressure)
    }

    /// What happens on a worker that has something to do at any time (`None`) and gets three requests.
    async fn turns(pressure: Arc<Pressure>) -> Vec<Option<u8>> {
        let log = Arc::new(Mutex::new(Vec::new()));
        let requests: Vec<_> = (0..3)
            .map(|number| {
                let (pressure, log) = (pressure.clone(), log.clone());
                tokio::spawn(async move {
                    assert!(pressure.admits(|| false).await);
                    log.lock().push(Some(number));
                })
            })
            .collect();
        let busy = log.clone();
        let busy = tokio::spawn(std::future::poll_fn(move |cx| {
            busy.lock().push(None);
            cx.waker().wake_by_ref();
            std::task::Poll::<()>::Pending
        }));
        for request in requests {
            request.await.unwrap();
        }
        busy.abort();
        let mut log = std::mem::take(&mut *log.lock());
        log.dedup();
        log
    }

    #[tokio::test]
    async fn an_overloaded_worker_begins_requests_one_at_a_time_the_newest_first() {
        let in_turn = [None, Some(0), None, Some(2), None, Some(1)];
        assert_eq!(turns(overloaded()).await[..6], in_turn);
        let at_once = [Some(0), Some(1), Some(2)];
        assert_eq!(turns(Arc::default()).await[..3], at_once);
    }

    /// Lets requests, critical or not, come to a door at which another one has the turn.
    async fn come(
        door: &Arc<Door>,
        requests: &[bool],
    ) -> Vec<tokio::task::JoinHandle<Option<Turn>>> {
        let mut came = Vec::new();
        for is_critical in requests {
            let (door, is_critical) = (door.clone(), *is_critical);
            came.push(tokio::spawn(async move { door.turn(is_critical).await }));
            tokio::task::yield_now().await;
        }
        came
    }

    #[tokio::test]
    async fn who_stands_at_the_door_for_too_long_is_refused_the_oldest_first_and_critical_ones_last()
     {
        let pressure = overloaded();
        let door = &pressure.door;
        let first = door.turn(false).await;
        let came = come(door, &[false, false, false, true, false]).await;
        let begun = Instant::now();
        let mut overload = Overload::default();
        let mut late = |late_ms: u64, cpu_ms: u64, after: Duration| {
            pressure.take(&mut overload, look(late_ms, cpu_ms), BOUND, begun + after);
            door.0.lock().waiting.len()
        };
        assert_eq!(late(90, 90, BOUND * 2), 5, "it is in time");
        assert_eq!(late(500, 10, BOUND * 2), 5, "others had the CPU");
        assert_eq!(late(101, 101, BOUND / 2), 5, "they have just come");
        door.refuse(BOUND, 2, begun + BOUND * 2);
        assert_eq!(door.0.lock().waiting.len(), 3, "there is no time for more");
        assert_eq!(late(150, 150, BOUND * 2), 2, "a critical one may stay");
        assert_eq!(late(500, 500, BOUND * 5), 0);
        drop(first);
        for request in came {
            assert!(request.await.unwrap().is_none());
        }
        assert!(!door.0.lock().is_taken);
    }

    #[tokio::test]
    async fn a_turn_is_not_lost_on_those_who_have_left() {
        let door = Arc::new(Door::default());
        let first = door.turn(false).await;
        let mut came = come(&door, &[false, false, false]).await;
        let (last, before) = (came.pop().unwrap(), came.pop().unwrap());
        last.abort();
        assert!(last.await.is_err());
        drop(first);
        // It has been given the turn, and leaves before it knows.
        before.abort();
        assert!(before.await.is_err());
        assert!(came.pop().unwrap().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_worker_that_is_kept_busy_is_found_out_and_recovers() {
        let pressure = Arc::new(Pressure::default());
        let watching = tokio::spawn(pressure.clone().watch(|| BOUND));
        let busy = Instant::now();
        let mut is_overloaded = false;
        while !is_overloaded && busy.elapsed() < Duration::from_secs(10) {
            let turn = Instant::now();
            while turn.elapsed() < BOUND * 2 {
                std::hint::spin_loop();
            }
            tokio::task::yield_now().await;
            is_overloaded = pressure.is_overloaded.load(Ordering::Relaxed);
        }
        assert!(is_overloaded);
        tokio::time::sleep(limits::PRESSURE_MEMORY + limits::PRESSURE_LOOK * 10).await;
        assert!(!pressure.is_overloaded.load(Ordering::Relaxed));
        drop(pressure);
        watching.await.unwrap();
    }
}
