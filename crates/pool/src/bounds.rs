//! Every bound of the pool in one place: nothing in here grows without one.

use std::time::Duration;

/// Keys in one pool. Costs are logarithmic or constant in it; memory is about 1 KiB a key.
pub const KEYS_MAX: usize = 1_000_000;

/// Quota groups in one pool.
pub const GROUPS_MAX: usize = 100_000;

/// The largest limit a meter can hold, in requests or tokens per window. It keeps a level scaled
/// to microseconds within 64 bits; no provider sells a thousandth of it.
pub const LIMIT_MAX: u64 = 100_000_000_000;

/// Largest limit on requests at a time: more than any machine has connections.
pub const CONCURRENT_MAX: u32 = 1_000_000;

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

/// How long a request may be under way before the provider counts it. A meter that the provider starts
/// at arrival is started so much later than the grant; the difference between two requests' times on
/// the way is what would otherwise put the pool ahead of the provider.
pub const TRANSIT: Duration = Duration::from_millis(250);

/// Model classes that one pool counts apart. Beyond them all further ones are counted as one.
pub const QUOTA_CLASSES_MAX: usize = 256;

/// Model classes that one key or quota group counts apart; the one unused for longest gives way.
pub const CLASSES_PER_QUOTA_MAX: usize = 32;

/// A declared limit below this share of what the provider states is taken for the part of a quota that an
/// operator wants to keep to; above it, for a mistake.
pub const DECLARED_SHARE_MAX: (u64, u64) = (2, 3);

/// What an unforeseen 429 takes off a limit about which the provider's answers say nothing.
pub const TRIM_PERCENT: u64 = 5;

/// A trimmed limit without another refusal for this long is raised by as much again.
pub const TRIM_RECOVERY: Duration = Duration::from_mins(5);

/// Requests of somebody else on one quota, in percent of its limit, that an operator is told of.
pub const FOREIGN_USE_PERCENT: u64 = 10;

/// How long foreign use goes on untold after an operator was told.
pub const FOREIGN_USE_SILENCE: Duration = Duration::from_hours(1);

/// How fast a provider is taken to fill a prompt cache: what a session loses by leaving its home, in time.
/// Prompts of 100,000 tokens take some ten seconds before their first byte where nothing is cached.
pub const CACHE_WRITE_TOKENS_PER_SECOND: u64 = 10_000;

/// Recent traffic (requests and tokens) that a quota may draw above its share before sessions are sent
/// elsewhere: with little traffic a share means nothing.
pub const BALANCE_FLOOR: f64 = 2_000.0;

/// Sessions whose home one pool remembers; the one unused for longest gives way.
pub const SESSIONS_MAX: usize = 100_000;

/// States of accounts (ids of answers and files, signatures) whose maker one pool remembers.
pub const STATES_MAX: usize = 200_000;

/// How long the maker of a state is remembered. Providers keep answers for weeks; a conversation that is
/// taken up a day later may have lost its reasoning, as after a restart.
pub const STATE_MEMORY: Duration = Duration::from_hours(24);

/// Up to this many keys all that waits is looked at when one key gets room; above it, only for that key,
/// and for all once in a while.
pub const SERVED_WHOLE_MAX: usize = 64;

/// Looks at one key, in all, to find where the heads of the lanes will have room first: what a pass of the
/// queue may cost, some hundred microseconds.
pub const BOOKING_LOOKS_MAX: usize = 4096;

/// A head for which such a look was too much is tried again after so long, if nothing moves before.
pub const UNBOOKED_RETRY: Duration = Duration::from_millis(100);

/// Up to this many waiting requests no estimate is made of how long those ahead will take.
pub const BACKLOG_TOLD_ABOVE: usize = 8;

/// How much longer than the class above it a waiting request waits before both count alike. Four
/// classes lie below the most urgent one, so that a batch request which has waited a minute goes
/// before a critical one that comes now: no class starves.
pub const QUEUE_AGEING: Duration = Duration::from_secs(15);

/// A request that has waited this long is not put back any more for what its tenant got elsewhere.
pub const QUEUE_AGED: Duration = Duration::from_mins(1);

/// What one request counts at most in the sharing among tenants, in tokens. No model takes a
/// longer prompt, and a client that asks for 2⁶³ tokens of output must not exhaust the counter.
pub const QUEUE_TOKENS_COUNTED_MAX: u64 = 1 << 24;

/// Classes of models whose estimates are learnt. Clients choose model names; the class unused for
/// longest gives way and is estimated as any other that is not known.
pub const ESTIMATE_CLASSES_MAX: usize = 256;

/// The greatest factor by which an estimate is taken to be wrong, up or down. Four bytes a token
/// are the rule and a token of one byte or of forty the exception; past this a counter was
/// misread, or the sample was too small to mean anything.
pub const ESTIMATE_RATIO_MAX: f64 = 64.0;

/// How often the number of requests in flight may double while a key starts slowly.
pub const SLOW_START_DOUBLING: Duration = Duration::from_millis(250);

/// A slow start that allows more in flight than this is over: no key's concurrency is greater.
pub const SLOW_START_MAX: u32 = 4096;

/// The greatest bound that is learnt for requests in flight. Past it the bound is no bound.
pub const CONCURRENCY_WINDOW_MAX: u32 = 65_536;

/// A learnt bound on requests in flight that nothing has come up to for this long is forgotten:
/// what the provider allowed then says nothing about now.
pub const CONCURRENCY_WINDOW_IDLE: Duration = Duration::from_mins(1);

/// How long each pace is kept after a provider said that traffic grows too fast: long enough for
/// its own average to follow.
pub const PACE_STEP: Duration = Duration::from_secs(30);

/// Times that all keys are tried for one request, the first time included.
pub const ROUNDS_MAX: u32 = 3;

/// The longest pause before the second round over all keys; the one before the third is twice as long.
/// The pause itself is drawn evenly from nothing to this, so that requests which failed together do not
/// come back together.
pub const ROUND_PAUSE: Duration = Duration::from_millis(250);

/// Attempts beyond the first of each request that a pool may make without one success, for each key.
pub const RETRY_STOCK_PER_KEY: u64 = 100;

/// The same for all keys of a pool together.
pub const RETRY_STOCK_MAX: u64 = 1000;

/// Such attempts that each second adds.
pub const RETRIES_PER_SECOND: u64 = 10;

/// How long a key that failed is not trusted with another request's retry, unless it serves before.
pub const DOUBT: Duration = Duration::from_secs(30);

/// Keys in doubt at one time. Retries look through them; more are retried as any other key.
pub const DOUBTS_MAX: usize = 256;

/// How far back a circuit breaker looks.
pub const BREAKER_WINDOW_SECONDS: usize = 10;

/// Requests below which it does not judge.
pub const BREAKER_SAMPLES_MIN: u64 = 10;

/// How long it stays open the first time; twice as long after each failed trial.
pub const BREAKER_OPEN_FIRST: Duration = Duration::from_secs(5);

/// How long it stays open at most.
pub const BREAKER_OPEN_MAX: Duration = Duration::from_mins(1);

/// A request that tries whether the trouble is over, and of which nothing is heard for so long, lets
/// another try.
pub const BREAKER_PROBE_PATIENCE: Duration = Duration::from_secs(5);

/// Models with a circuit breaker of their own at one time. Clients choose model names; beyond them no
/// further one is watched until one of them is calm.
pub const BREAKERS_MAX: usize = 256;

/// How long a degraded key that fails again is left out, the first time; twice as long each further time
/// without a success. Other keys serve meanwhile.
pub const REST_FIRST: Duration = Duration::from_secs(1);

/// How long such a key is left out at most.
pub const REST_MAX: Duration = Duration::from_secs(30);

/// How long an operator is not told again that a provider refuses most keys, or serves nobody from here.
pub const PROVIDER_ALERT_SILENCE: Duration = Duration::from_hours(1);
