//! Every bound of the pool in one place: nothing in here grows without one.

use std::time::Duration;

/// Keys in one pool. Costs are logarithmic or constant in it; memory is about 1 KiB a key.
pub const KEYS_MAX: usize = 1_000_000;

/// Quota groups in one pool.
pub const GROUPS_MAX: usize = 100_000;

/// The largest limit a meter can hold, in requests or tokens per window. It keeps a level scaled
/// to microseconds within 64 bits; no provider sells a thousandth of it.
pub const LIMIT_MAX: u64 = 100_000_000_000;

/// Models for which one key may be cooling or barred at a time. Clients choose model names, so
/// without a bound they would choose the memory too; the bar that ends first gives way.
pub const MODEL_BARS_MAX: usize = 64;

/// Outputs that wait to be polled. When nobody polls, the oldest give way.
pub const OUTPUTS_MAX: usize = 16_384;

/// Characters kept of an error's message.
pub const ERROR_MESSAGE_MAX: usize = 300;

/// A cool-down for which the provider named no end (contract §4).
pub const COOLDOWN_DEFAULT: Duration = Duration::from_mins(1);

/// Longest cool-down of the pool's own making, whatever the number of refusals in a row.
pub const COOLDOWN_MAX: Duration = Duration::from_mins(10);

/// A degraded key without an error for this long is healthy again (contract §4).
pub const DEGRADED_RECOVERY: Duration = Duration::from_mins(5);

/// A key that was denied a model is asked for it again after this long: access gets granted.
pub const MODEL_DENIAL: Duration = Duration::from_hours(1);

/// Waits before the first, second and third probe of an unavailable key, in probe intervals; then
/// the last one for ever (contract §4).
pub const PROBE_SCHEDULE: [u32; 4] = [1, 5, 30, 60];

/// With this probe interval a dead key is probed after 1, 5 and 30 minutes, then hourly.
pub const PROBE_INTERVAL_DEFAULT: Duration = Duration::from_mins(1);

/// A shorter interval would be an attack on the provider.
pub const PROBE_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// A returning key takes one request at a time until one succeeds, or until its trial request has
/// been under way this long: a provider refuses at once, while a long stream succeeds late.
pub const TRIAL_PATIENCE: Duration = Duration::from_secs(5);

/// How long a new or returning key is held near the load of its peers under least-loaded.
pub const RAMP: Duration = Duration::from_mins(1);

/// What a refusal names as next try when only a request in flight that ends can make room.
pub const CONCURRENCY_RETRY: Duration = Duration::from_secs(1);

/// Up to this many keys each refusal is worked out afresh. In larger pools the last one is
/// remembered for demands that equal it, and its instant may then be early, but never late.
pub const REFUSAL_MEMORY_ABOVE: usize = 256;

/// Model names kept for re-use, so that a grant need not copy one.
pub const MODEL_NAMES_KEPT: usize = 8;
