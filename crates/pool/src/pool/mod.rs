//! The pool itself: its parts, and what every call does first.

mod admin;
mod appraise;
mod blame;
mod home;
mod learning;
mod placing;
mod request;
mod serving;
mod settle;
mod totals;
mod trouble;
mod view;
mod waiting;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::bounds::{OUTPUTS_MAX, SESSIONS_MAX, STATE_MEMORY, STATES_MAX};
use crate::breakers::Breakers;
use crate::chooser::Booking;
use crate::config::{AffinityConfig, ConfigError, KeyConfig, PoolConfig, Sequential};
use crate::doubts::Doubts;
use crate::estimate::Estimates;
use crate::expiring::ExpiringMap;
use crate::group::Group;
use crate::id::KeyId;
use crate::key::Key;
use crate::lease::DropBox;
use crate::limits::Limits;
use crate::meter::Counting;
use crate::meters::Meters;
use crate::names::ModelNames;
use crate::output::{Alert, AlertKind, Output, WakeReason};
use crate::queue::{Queue, WaiterId};
use crate::quota_class::QuotaClasses;
use crate::ramp::PeerLoad;
use crate::ready::Selector;
use crate::recent::RecentLoad;
use crate::refusal::Turn;
use crate::retry_budget::RetryBudget;
use crate::slab::{Handle, Slab};
use crate::snapshot::AffinityCounts;
use crate::time::Timestamp;
use crate::timers::Timers;
use crate::unit::Unit;

use home::Pin;
use request::{RememberedRefusal, Rotation};
use serving::Gains;

/// The keys of one provider: decides which one serves the next request, and keeps account.
///
/// # Order of calls
///
/// - [`handle_request`](Self::handle_request) asks for a key. A granted [`Lease`](crate::Lease) has
///   its quota reserved; hand it back by [`handle_outcome`](Self::handle_outcome) when the attempt
///   has ended, in whatever way. For another attempt of the same request ask again, with the tried
///   keys excluded: a [`Course`](crate::Course) keeps account of a request's attempts and says what comes
///   next. When it is over, tell [`handle_served`](Self::handle_served), or
///   [`handle_exhausted`](Self::handle_exhausted) and [`handle_unserved`](Self::handle_unserved): then it is
///   known whom to blame.
/// - While its answer arrives, tell what it states: [`handle_quota_report`](Self::handle_quota_report) and
///   [`handle_owner`](Self::handle_owner) from its head, [`handle_progress`](Self::handle_progress) while it
///   is written.
/// - After any call, and at the instant of [`poll_timeout`](Self::poll_timeout), call
///   [`poll_turn`](Self::poll_turn) until it returns `None`: requests that were queued are granted or
///   refused there. [`cancel`](Self::cancel) takes one back whose client has left.
/// - Then call [`poll_output`](Self::poll_output) until it returns `None`, and do what it says: log, alert,
///   probe. Answer each probe by [`handle_probe`](Self::handle_probe). Nothing on the path of a
///   request depends on that being prompt: every call that takes `now` first lets time pass.
/// - [`handle_admin`](Self::handle_admin) takes an operator's commands at any time; leases in flight
///   stay valid.
/// - [`snapshot`](Self::snapshot), [`key_snapshot`](Self::key_snapshot) and
///   [`explain`](Self::explain) show what is, and change nothing that matters.
///
/// # Contract
///
/// - `now` should not go back; where it does, the latest instant seen holds.
/// - A key is never granted that is disabled, unavailable, expired, cooling down (as a whole or for
///   the model), excluded, of the wrong model, without a wanted tag, or without room in every meter
///   of its own and its group's, reservations counted as used.
/// - As long as one such key is left, the demand is granted (work-conserving), unless an older request that
///   waits would have to wait longer for it, or it prefers to wait for the key that has its prompt cache.
/// - Answers depend on nothing but the configuration with its seed, and the calls so far.
///
/// A grant and its settlement together take well under a microsecond in small pools, and about one
/// with 100,000 keys; the pool belongs behind a plain mutex that is never held across an await.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use keypool_pool::*;
///
/// let key = KeyId::from_bits(1);
/// let now = Timestamp::from_unix_secs(1_700_000_000);
/// let limits = Limits { requests_per_minute: Some(1), ..Limits::default() };
/// let keys = vec![KeyConfig { limits, ..KeyConfig::new(key) }];
/// let mut pool = Pool::new(now, PoolConfig { keys, ..PoolConfig::default() })?;
///
/// let demand = Demand { model: "m", input_tokens: 100, output_tokens: 50, ..Demand::default() };
/// let Admission::Granted(lease) = pool.handle_request(now, &demand) else { panic!() };
/// assert_eq!(lease.key(), key);
///
/// // The one request of this minute is reserved: the next fits when the bucket has refilled.
/// let Admission::Refused(refusal) = pool.handle_request(now, &demand) else { panic!() };
/// assert_eq!(refusal.reason, RefusalReason::NoRoom);
/// let room_at = now + Duration::from_secs(60) + bounds::TRANSIT;
/// assert_eq!(refusal.retry_at, Some(room_at));
///
/// pool.handle_outcome(now, lease, &Outcome {
///     usage: Usage { input_tokens: 90, output_tokens: 20, ..Usage::default() },
///     latency: Duration::from_millis(800),
///     ..Outcome::of(Verdict::Success, Charge::Actual { input_tokens: 90, output_tokens: 20 })
/// });
///
/// // Whoever may wait is told when the time has come.
/// let wait = Wait { until: now + Duration::from_secs(90), since: now, urgency: Urgency::Normal,
///     tenant: 0, weight: 1, bytes: 0, resumed: false };
/// let patient = Demand { wait: Some(wait), ..demand };
/// let Admission::Queued(waiter) = pool.handle_request(now, &patient) else { panic!() };
/// assert!(pool.poll_turn(now).is_none());
/// assert_eq!(pool.poll_timeout(), Some((room_at, WakeReason::QueueMoves)));
/// let Some((who, Turn::Granted(_))) = pool.poll_turn(room_at) else { panic!() };
/// assert_eq!(who, waiter);
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Pool {
    /// The latest instant seen.
    now: Timestamp,
    counting: Counting,
    cache_reads_free: bool,
    correct_limits: bool,
    sequential: Sequential,
    affinity: AffinityConfig,
    probe_interval: Duration,
    keys: Slab<Key>,
    by_id: BTreeMap<KeyId, Handle>,
    /// By position: the configuration's order.
    order: BTreeMap<u64, Handle>,
    next_position: u64,
    groups: Slab<Group>,
    groups_by_name: BTreeMap<String, Handle>,
    /// Keys in groups, and groups with keys in them.
    grouped_keys: usize,
    groups_in_use: usize,
    /// Leases that have not been settled.
    in_flight: u64,
    /// Traffic of all keys together.
    recent: RecentLoad,
    classes: QuotaClasses,
    estimates: Estimates,
    /// Where sessions were served last.
    pins: ExpiringMap<u64, Pin>,
    affinity_counts: AffinityCounts,
    /// Which quota made a state that requests carry.
    origins: ExpiringMap<u64, Unit>,
    queue: Queue,
    /// Waiting requests whose turn has come.
    turns: VecDeque<(WaiterId, Turn)>,
    gains: Gains,
    /// Room that the heads of the queue's lanes will have.
    bookings: SmallVec<[Booking; 4]>,
    /// When the first of them may have it.
    queue_wake: Option<Timestamp>,
    selector: Selector,
    /// When keys' states change by themselves.
    timers: Timers,
    /// When parked keys will have room.
    parked: Timers,
    breakers: Breakers,
    retry_budget: RetryBudget,
    /// Keys of whose last attempts some failed.
    doubts: Doubts,
    /// When an operator was last told that the provider refuses most keys.
    mass_refusal_told: Option<Timestamp>,
    /// When an operator was last told that the provider serves nobody from here.
    not_served_told: Option<Timestamp>,
    outputs: VecDeque<Output>,
    drop_box: Arc<DropBox>,
    next_lease: u64,
    models: ModelNames,
    last_granted: Option<KeyId>,
    rotation: Option<Rotation>,
    refused: Option<RememberedRefusal>,
    /// The least load among the ready keys at that instant, for keys that join them.
    peers: Option<(Timestamp, PeerLoad)>,
}

impl Pool {
    /// A pool whose keys are all healthy and unused.
    pub fn new(now: Timestamp, config: PoolConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut pool = Self {
            now,
            counting: config.counting(),
            cache_reads_free: config.cache_reads_free,
            correct_limits: config.correct_limits,
            sequential: config.sequential,
            affinity: config.affinity,
            probe_interval: config.probe_interval,
            keys: Slab::new(),
            by_id: BTreeMap::new(),
            order: BTreeMap::new(),
            next_position: 0,
            groups: Slab::new(),
            groups_by_name: BTreeMap::new(),
            grouped_keys: 0,
            groups_in_use: 0,
            in_flight: 0,
            recent: RecentLoad::default(),
            classes: QuotaClasses::default(),
            estimates: Estimates::default(),
            pins: ExpiringMap::new(SESSIONS_MAX, config.affinity.ttl),
            affinity_counts: AffinityCounts::default(),
            origins: ExpiringMap::new(STATES_MAX, STATE_MEMORY),
            queue: Queue::new(config.queue.max_length, config.queue.max_bytes),
            turns: VecDeque::new(),
            gains: Gains::default(),
            bookings: SmallVec::new(),
            queue_wake: None,
            selector: Selector::new(config.strategy, config.seed),
            timers: Timers::default(),
            parked: Timers::default(),
            breakers: Breakers::default(),
            retry_budget: RetryBudget::new(now),
            doubts: Doubts::default(),
            mass_refusal_told: None,
            not_served_told: None,
            outputs: VecDeque::new(),
            drop_box: Arc::new(DropBox::default()),
            next_lease: 1,
            models: ModelNames::default(),
            last_granted: None,
            rotation: None,
            refused: None,
            peers: None,
        };
        for (name, limits) in config.quota_groups {
            pool.insert_group(name, &limits);
        }
        for key in config.keys {
            pool.insert_key(key);
        }
        // What a key expired before the start is known to whoever configured it.
        pool.outputs.clear();
        Ok(pool)
    }

    /// The next thing to do or tell; `None` when there is none now.
    pub fn poll_output(&mut self, now: Timestamp) -> Option<Output> {
        self.begin(now);
        self.outputs.pop_front()
    }

    /// The nearest instant at which something changes by itself, and what: call
    /// [`Self::poll_output`] then. May be in the past.
    pub fn poll_timeout(&mut self) -> Option<(Timestamp, WakeReason)> {
        if !self.outputs.is_empty() {
            return Some((self.now, WakeReason::OutputsWaiting));
        }
        let queue = self.queue_moves_at().map(|at| (at, WakeReason::QueueMoves));
        let mut key_changes = None;
        while let Some((at, handle)) = self.timers.peek() {
            let key = self.keys.get(handle).filter(|key| key.timer == Some(at));
            key_changes = key.and_then(Key::next_change);
            if key_changes.is_some() {
                break;
            }
            self.timers.pop();
        }
        queue
            .into_iter()
            .chain(key_changes)
            .min_by_key(|&(at, _)| at)
    }

    fn queue_moves_at(&self) -> Option<Timestamp> {
        if !self.turns.is_empty() {
            return Some(self.now);
        }
        let deadline = self.queue.next_deadline()?;
        if !self.gains.is_empty() {
            return Some(self.now);
        }
        Some(self.queue_wake.map_or(self.now, |at| at.min(deadline)))
    }

    /// What every call does first: settles dropped leases and lets time pass.
    fn begin(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.settle_dropped();
        self.run_timers();
    }

    fn insert_group(&mut self, name: String, limits: &Limits) {
        let mut meters = Meters::new(self.now, limits, self.counting, self.next_lease);
        meters.start_slowly();
        let handle = self.groups.insert(Group::new(name.clone(), meters));
        self.groups_by_name.insert(name, handle);
    }

    /// Adds a key whose configuration has been checked, behind the others.
    fn insert_key(&mut self, config: KeyConfig) -> Handle {
        let position = self.next_position;
        self.next_position += 1;
        let id = config.id;
        let class = self.selector.join_class(&config.models);
        let group = self.group_of(&config);
        let mut key = Key::new(
            self.now,
            config,
            self.counting,
            position,
            self.next_lease,
            self.probe_interval,
        );
        key.class = class;
        key.group = group;
        key.meters.one_at_a_time = self.sequential == Sequential::Key;
        if group.is_none() {
            key.meters.start_slowly();
        }
        let handle = self.keys.insert(key);
        self.by_id.insert(id, handle);
        self.order.insert(position, handle);
        self.join_group(handle, group);
        self.refresh(handle, "added");
        handle
    }

    fn group_of(&self, config: &KeyConfig) -> Option<Handle> {
        let name = config.quota_group.as_ref()?;
        self.groups_by_name.get(name).copied()
    }

    fn join_group(&mut self, key: Handle, group: Option<Handle>) {
        if let Some(group) = group.and_then(|group| self.groups.get_mut(group)) {
            group.members.push(key);
            self.grouped_keys += 1;
            self.groups_in_use += usize::from(group.members.len() == 1);
        }
    }

    fn leave_group(&mut self, key: Handle, group: Option<Handle>) {
        if let Some(group) = group.and_then(|group| self.groups.get_mut(group)) {
            let before = group.members.len();
            group.members.retain(|&member| member != key);
            if group.members.len() < before {
                self.grouped_keys = self.grouped_keys.saturating_sub(1);
                let emptied = usize::from(group.members.is_empty());
                self.groups_in_use = self.groups_in_use.saturating_sub(emptied);
            }
        }
    }

    /// Whether the pool serves one request at a time and has one.
    const fn is_occupied(&self) -> bool {
        matches!(self.sequential, Sequential::Provider) && self.in_flight > 0
    }

    fn emit(&mut self, output: Output) {
        if self.outputs.len() >= OUTPUTS_MAX {
            self.outputs.pop_front();
        }
        self.outputs.push_back(output);
    }

    fn alert(&mut self, key: KeyId, kind: AlertKind, message: String) {
        self.emit(Output::Alert(Alert { key, kind, message }));
    }
}
