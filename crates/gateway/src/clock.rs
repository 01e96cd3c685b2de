//! Where the gateway's time comes from.
//!
//! The pool takes `now` as an argument. In production that is the system's wall clock read once at
//! start and carried forward by a clock that nobody sets and that goes on while the machine sleeps: so a
//! wall clock that is set back or forth moves no cool-down, and after a night with the lid closed it is
//! the next morning. Tests move time by hand.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keypool_pool::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

/// A future that ends at an instant of the [`TimeSource`] it came from.
pub type SleepUntil = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The clock behind every `now` that the pool is told.
pub trait TimeSource: Send + Sync + fmt::Debug + 'static {
    /// The current instant. Never goes back.
    fn now(&self) -> Timestamp;

    /// Waits until [`TimeSource::now`] has reached `at`.
    fn sleep_until(&self, at: Timestamp) -> SleepUntil;
}

/// The machine's clock, anchored when it was made.
#[derive(Debug)]
pub struct SystemTimeSource {
    anchor: Duration,
    anchor_unix_micros: u64,
}

/// Goes on while the machine sleeps.
#[cfg(any(target_os = "linux", target_os = "android"))]
const STEADY: ClockId = ClockId::Boottime;

/// The one that there is.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const STEADY: ClockId = ClockId::Monotonic;

fn steady_time() -> Duration {
    Duration::try_from(clock_gettime(STEADY)).unwrap_or_default()
}

impl SystemTimeSource {
    /// Reads the wall clock once; from then on only the steady one counts.
    #[must_use]
    pub fn new() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            anchor: steady_time(),
            anchor_unix_micros: micros(since_epoch),
        }
    }
}

impl Default for SystemTimeSource {
    fn default() -> Self {
        Self::new()
    }
}

impl TimeSource for SystemTimeSource {
    fn now(&self) -> Timestamp {
        let elapsed = micros(steady_time().saturating_sub(self.anchor));
        Timestamp::from_unix_micros(self.anchor_unix_micros.saturating_add(elapsed))
    }

    fn sleep_until(&self, at: Timestamp) -> SleepUntil {
        let wait = at.saturating_duration_since(self.now());
        Box::pin(tokio::time::sleep(wait))
    }
}

/// A clock that moves only when told to, for tests of what takes minutes or days.
#[derive(Debug)]
pub struct ManualTimeSource {
    now: watch::Sender<u64>,
}

impl ManualTimeSource {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self {
            now: watch::Sender::new(start.as_unix_micros()),
        }
    }

    /// Moves the clock forward and wakes whoever waited for it.
    pub fn advance(&self, by: Duration) {
        self.now
            .send_modify(|now| *now = now.saturating_add(micros(by)));
    }
}

impl TimeSource for ManualTimeSource {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(*self.now.borrow())
    }

    fn sleep_until(&self, at: Timestamp) -> SleepUntil {
        let mut now = self.now.subscribe();
        let at = at.as_unix_micros();
        Box::pin(async move {
            // The sender lives in the clock itself; should it be gone, nobody can wait for it.
            let _ = now.wait_for(|now| *now >= at).await;
        })
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
