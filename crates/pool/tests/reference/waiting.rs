//! Waiting under chance: what must hold whoever waits, leaves, reports or pays.
//!
//! The naive queue is a sorted list of who waits. Which of them goes first is for the pool to say, and its
//! unit tests to judge; here it is held to what any order must give: room is never exceeded, nobody waits
//! for what is there, each has one end, and in the end nothing is left.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use keypool_pool::{
    Admission, AffinityConfig, Charge, Command, CooldownScope, Demand, Dimension, KeyConfig, KeyId,
    KeyPatch, Lease, Limits, Outcome, Pool, PoolConfig, QueueConfig, QuotaReading, Sequential,
    Standing, Strategy as Order, Timestamp, Turn, Urgency, Usage, Verdict, Wait, WaiterId, Window,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::world::{MODELS, START, TAG, config, groups, id};

#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(u64),
    /// Lets time pass until the pool wants to be asked.
    Wake,
    Request(Asked),
    Settle {
        lease: usize,
        percent: u64,
        refused: bool,
    },
    Report {
        lease: usize,
        limit: u64,
        remaining: u64,
        tokens: bool,
    },
    Drop(usize),
    Cancel(usize),
    Clear(u8),
    Enable(u64, bool),
    Sequential(Sequential),
    Strategy(Order),
    /// Whether turns are polled for now.
    Poll(bool),
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    model: usize,
    input: u64,
    tagged: bool,
    excluded: u64,
    session: Option<u64>,
    /// Seconds; `None`: not at all.
    patience: Option<u64>,
    urgency: usize,
    tenant: u64,
    resumed: bool,
}

fn asked() -> impl Strategy<Value = Asked> {
    (
        (0..3_usize, 0..300_u64, 0..9_u8, 0..18_u64),
        (
            prop::option::weighted(0.5, 0..3_u64),
            prop::option::weighted(0.8, 0..200_u64),
            0..5_usize,
            0..3_u64,
            prop::bool::weighted(0.1),
        ),
    )
        .prop_map(
            |((model, input, tag, excluded), (session, patience, urgency, tenant, resumed))| {
                Asked {
                    model,
                    input: if tag == 1 { input * 3 } else { input },
                    tagged: tag == 0,
                    excluded,
                    session,
                    patience,
                    urgency,
                    tenant,
                    resumed,
                }
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    let sequential = proptest::sample::select(vec![
        Sequential::Off,
        Sequential::Off,
        Sequential::Key,
        Sequential::Provider,
    ]);
    prop_oneof![
        8 => prop_oneof![0..2_000_u64, 0..40_000_u64].prop_map(Step::Pass),
        12 => Just(Step::Wake),
        40 => asked().prop_map(Step::Request),
        20 => (any::<usize>(), 0..200_u64, prop::bool::weighted(0.08))
            .prop_map(|(lease, percent, refused)| Step::Settle { lease, percent, refused }),
        6 => (any::<usize>(), 1..60_u64, 0..60_u64, any::<bool>()).prop_map(
            |(lease, limit, remaining, tokens)| Step::Report { lease, limit, remaining, tokens }
        ),
        2 => any::<usize>().prop_map(Step::Drop),
        3 => any::<usize>().prop_map(Step::Cancel),
        1 => (0..8_u8).prop_map(Step::Clear),
        2 => (0..5_u64, any::<bool>()).prop_map(|(key, on)| Step::Enable(key, on)),
        1 => sequential.prop_map(Step::Sequential),
        1 => proptest::sample::select(Order::ALL.to_vec()).prop_map(Step::Strategy),
        4 => prop::bool::weighted(0.8).prop_map(Step::Poll),
    ]
}

#[derive(Clone, Debug)]
struct Waiter {
    asked: Asked,
    wait: Wait,
}

struct World {
    now: Timestamp,
    pool: Pool,
    polls: bool,
    /// Whether turns were taken after the step before. Those that are older were given for what was known then.
    polled: bool,
    sequential: Sequential,
    leases: Vec<Lease>,
    /// The naive queue.
    waiting: BTreeMap<WaiterId, Waiter>,
    ended: Vec<WaiterId>,
    history: String,
}

impl World {
    fn new(strategy: Order, window: Window, affinity: bool, seed: u64) -> Self {
        let keys: Vec<KeyConfig> = (0..5)
            .map(config)
            .map(|key| KeyConfig {
                expires_at: None,
                ..key
            })
            .collect();
        let config = PoolConfig {
            strategy,
            window,
            quota_groups: groups(),
            keys,
            affinity: AffinityConfig {
                enabled: affinity,
                ..AffinityConfig::default()
            },
            queue: QueueConfig {
                max_length: 12,
                max_bytes: 1000,
            },
            seed,
            ..PoolConfig::default()
        };
        Self {
            now: START,
            pool: Pool::new(START, config).unwrap(),
            polls: true,
            polled: true,
            sequential: Sequential::Off,
            leases: Vec::new(),
            waiting: BTreeMap::new(),
            ended: Vec::new(),
            history: String::new(),
        }
    }

    fn step(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Pass(millis) => self.now = now + Duration::from_millis(millis),
            Step::Wake => {
                if let Some((at, _)) = self.pool.poll_timeout() {
                    self.now = now.max(at);
                }
            }
            Step::Request(asked) => self.request(asked),
            Step::Settle {
                lease,
                percent,
                refused,
            } => self.settle(lease, percent, refused),
            Step::Report {
                lease,
                limit,
                remaining,
                tokens,
            } => {
                // What was granted before it fitted what was known then.
                self.poll_turns();
                let count = self.leases.len();
                if let Some(lease) = self.leases.get(lease % count.max(1)) {
                    let (dimension, factor) = if tokens {
                        (Dimension::TokensPerMinute, 40)
                    } else {
                        (Dimension::RequestsPerMinute, 1)
                    };
                    let reading = QuotaReading {
                        dimension,
                        limit: Some(limit * factor),
                        remaining: Some(remaining * factor),
                        resets_at: None,
                        grain: factor,
                    };
                    self.pool.handle_quota_report(now, lease, &[reading]);
                }
            }
            Step::Drop(lease) => drop(self.take_lease(lease)),
            Step::Cancel(which) => {
                let count = self.waiting.len();
                if let Some(&waiter) = self.waiting.keys().nth(which % count.max(1)) {
                    self.pool.cancel(now, waiter);
                    self.end(waiter);
                }
            }
            Step::Clear(which) => {
                let urgency = Urgency::ALL.get(usize::from(which)).copied();
                self.pool.clear_queue(now, urgency);
                self.poll_turns();
            }
            Step::Enable(key, enabled) => {
                let patch = KeyPatch {
                    enabled: Some(enabled),
                    ..KeyPatch::default()
                };
                let command = Command::UpdateKey(id(key), patch);
                self.pool.handle_admin(now, command).unwrap();
            }
            Step::Sequential(sequential) => {
                self.sequential = sequential;
                let command = Command::SetSequential(sequential);
                self.pool.handle_admin(now, command).unwrap();
            }
            Step::Strategy(strategy) => {
                let command = Command::SetStrategy(strategy);
                self.pool.handle_admin(now, command).unwrap();
            }
            Step::Poll(polls) => self.polls = polls,
        }
        while self.pool.poll_output(self.now).is_some() {}
        if self.polls {
            self.poll_turns();
            self.check_queue();
        }
        self.polled = self.polls;
    }

    fn request(&mut self, asked: Asked) {
        let wait = asked.patience.map(|seconds| Wait {
            until: self.now + Duration::from_secs(seconds),
            since: self.now,
            urgency: Urgency::ALL[asked.urgency],
            tenant: asked.tenant,
            weight: 1 + u32::try_from(asked.tenant).unwrap(),
            bytes: 100,
            resumed: asked.resumed,
        });
        let tags = tags(asked);
        let excluded = excluded(asked);
        let demand = demand(asked, &tags, &excluded, wait);
        match self.pool.handle_request(self.now, &demand) {
            Admission::Granted(lease) => {
                let key = lease.key();
                self.check_within_limits(key, asked);
                self.granted(lease, asked);
                if self.sequential == Sequential::Key {
                    let shown = self.pool.key_snapshot(self.now, key);
                    assert_eq!(shown.unwrap().in_flight, 1);
                }
            }
            Admission::Queued(waiter) => {
                let wait = wait.unwrap();
                let known = self.waiting.insert(waiter, Waiter { asked, wait });
                assert!(known.is_none() && !self.ended.contains(&waiter));
                writeln!(self.history, "{waiter} waits").unwrap();
            }
            Admission::Refused(refusal) => {
                assert!(refusal.retry_at.is_none_or(|at| at >= self.now));
                writeln!(self.history, "{refusal:?}").unwrap();
            }
        }
    }

    /// It is legal.
    fn granted(&mut self, lease: Lease, asked: Asked) {
        writeln!(self.history, "{}", lease.key()).unwrap();
        let key = lease.key();
        assert!(!excluded(asked).contains(&key), "it had been tried");
        let shown = self.pool.key_snapshot(self.now, key).unwrap();
        assert!(!asked.tagged || shown.config.tags.contains(&TAG.to_owned()));
        self.leases.push(lease);
    }

    /// It is within every limit that counts it.
    fn check_within_limits(&mut self, key: KeyId, asked: Asked) {
        let snapshot = self.pool.snapshot(self.now);
        let shown = snapshot.keys.iter().find(|shown| shown.config.id == key);
        let shown = shown.unwrap();
        let group = snapshot.groups.iter();
        let group = group.filter(|group| Some(&group.name) == shown.config.quota_group.as_ref());
        // A class with a meter of its own is held to that one.
        let meters: Vec<_> = shown
            .meters
            .iter()
            .chain(group.flat_map(|group| &group.meters))
            .collect();
        let model = MODELS[asked.model];
        for meter in &meters {
            // A declared limit is passed by classes that have one of their own.
            let is_passed = |other: &&&keypool_pool::MeterSnapshot| {
                other.dimension == meter.dimension && other.model_class.is_some()
            };
            let counts = match meter.model_class.as_deref() {
                Some(class) => class == model,
                None => !meters.iter().any(|other| is_passed(&other)),
            };
            if counts {
                assert!(
                    meter.remaining >= 0 && meter.used + meter.reserved <= meter.limit,
                    "{meter:?} {asked:?}"
                );
            }
        }
    }

    fn take_lease(&mut self, which: usize) -> Option<Lease> {
        let count = self.leases.len();
        (count > 0).then(|| self.leases.remove(which % count))
    }

    fn settle(&mut self, which: usize, percent: u64, refused: bool) {
        let Some(lease) = self.take_lease(which) else {
            return;
        };
        let input_tokens = lease.reserved().0 * percent / 100;
        let verdict = if refused {
            Verdict::RateLimited {
                until: Some(self.now + Duration::from_secs(20)),
                scope: CooldownScope::GroupModel,
            }
        } else {
            Verdict::Success
        };
        let charge = Charge::Actual {
            input_tokens,
            output_tokens: 0,
        };
        let outcome = Outcome {
            usage: Usage {
                cache_write_tokens: input_tokens,
                ..Usage::default()
            },
            ..Outcome::of(verdict, charge)
        };
        self.pool.handle_outcome(self.now, lease, &outcome);
    }

    fn end(&mut self, waiter: WaiterId) -> Waiter {
        let known = self.waiting.remove(&waiter);
        self.ended.push(waiter);
        known.unwrap_or_else(|| panic!("{waiter} has a second end"))
    }

    fn poll_turns(&mut self) {
        while let Some((waiter, turn)) = self.pool.poll_turn(self.now) {
            let known = self.end(waiter);
            match turn {
                Turn::Granted(lease) => {
                    if self.polled {
                        self.check_within_limits(lease.key(), known.asked);
                    }
                    self.granted(lease, known.asked);
                }
                Turn::Refused(refusal) => {
                    assert!(refusal.retry_at.is_none_or(|at| at >= self.now));
                    writeln!(self.history, "{waiter}: {refusal:?}").unwrap();
                }
            }
        }
    }

    /// The keys that could take a waiting request now, and those that will be able to at another time.
    fn standings(&mut self, waiter: &Waiter) -> (Vec<KeyId>, Vec<KeyId>) {
        let asked = Asked {
            // Its home is a preference.
            session: None,
            ..waiter.asked
        };
        let (tags, excluded) = (tags(asked), excluded(asked));
        let demand = demand(asked, &tags, &excluded, None);
        let explanation = self.pool.explain(self.now, &demand);
        let now = |standing: &Standing| !matches!(standing, Standing::Barred { .. });
        let keys = explanation.keys;
        let free = keys.iter().filter(|(_, standing)| now(standing));
        let free = free.map(|&(key, _)| key).collect();
        let later = keys
            .iter()
            .filter(|(_, standing)| matches!(standing, Standing::Barred { until: Some(_), .. }));
        (free, later.map(|&(key, _)| key).collect())
    }

    fn check_queue(&mut self) {
        let snapshot = self.pool.queue_snapshot();
        assert_eq!(snapshot.length, self.waiting.len());
        let held: u64 = self.waiting.values().map(|waiter| waiter.wait.bytes).sum();
        assert_eq!(snapshot.bytes, held);
        let next = self.pool.poll_timeout().map(|(at, _)| at);
        if let Some(first) = self.waiting.values().map(|waiter| waiter.wait.until).min() {
            assert!(first > self.now, "it has waited for long enough");
            assert!(next.is_some_and(|at| at <= first), "nobody would wake it");
        }
        let occupied = self.sequential == Sequential::Provider && !self.leases.is_empty();
        let has_home = self
            .waiting
            .values()
            .any(|waiter| waiter.asked.session.is_some());
        if occupied || self.waiting.is_empty() {
            return;
        }
        let waiting: Vec<Waiter> = self.waiting.values().cloned().collect();
        let standings: Vec<_> = waiting
            .iter()
            .map(|waiter| self.standings(waiter))
            .collect();
        // Whoever comes first in the pool's order has nobody to give way to.
        let everybody = standings.iter().all(|(free, _)| !free.is_empty());
        assert!(has_home || !everybody, "all could go: {waiting:?}");
        for (number, waiter) in waiting.iter().enumerate() {
            for key in &standings[number].0 {
                let gives_way = (0..waiting.len())
                    .filter(|&other| other != number)
                    .any(|other| {
                        waiting[other].asked.model == waiter.asked.model
                            || standings[other].0.contains(key)
                            || standings[other].1.contains(key)
                            || self.shares_group(*key, &standings[other].1)
                    });
                assert!(
                    gives_way || waiter.asked.session.is_some(),
                    "{key} is free for {waiter:?}, and nobody else could want it"
                );
            }
        }
    }

    fn shares_group(&mut self, key: KeyId, others: &[KeyId]) -> bool {
        let snapshot = self.pool.snapshot(self.now);
        let group = |id: KeyId| {
            let key = snapshot.keys.iter().find(|key| key.config.id == id);
            key.and_then(|key| key.config.quota_group.clone())
        };
        group(key).is_some() && others.iter().any(|&other| group(other) == group(key))
    }

    /// Ends everything; nothing is left behind.
    fn drain(&mut self) {
        self.polls = true;
        for _ in 0..400 {
            while !self.leases.is_empty() {
                self.step(Step::Settle {
                    lease: 0,
                    percent: 100,
                    refused: false,
                });
            }
            if self.waiting.is_empty() {
                break;
            }
            self.step(Step::Wake);
        }
        assert_eq!(self.waiting.len(), 0, "they wait at {}", self.now);
        let queue = self.pool.queue_snapshot();
        assert_eq!((queue.length, queue.bytes, queue.tokens), (0, 0, 0));
        let snapshot = self.pool.snapshot(self.now);
        let of_keys = snapshot.keys.iter().flat_map(|key| &key.meters);
        let of_groups = snapshot.groups.iter().flat_map(|group| &group.meters);
        for meter in of_keys.chain(of_groups) {
            assert_eq!(meter.reserved, 0, "{meter:?}");
        }
        for key in &snapshot.keys {
            assert_eq!(key.in_flight, 0);
            let errors = &key.errors_by_class;
            let forgiven = errors.client_error + errors.cancelled;
            assert_eq!(key.requests, key.successes + key.errors + forgiven);
        }
    }
}

fn tags(asked: Asked) -> Vec<String> {
    asked.tagged.then(|| TAG.to_owned()).into_iter().collect()
}

fn excluded(asked: Asked) -> Vec<KeyId> {
    (asked.excluded < 5)
        .then(|| id(asked.excluded))
        .into_iter()
        .collect()
}

fn demand<'a>(
    asked: Asked,
    tags: &'a [String],
    excluded: &'a [KeyId],
    wait: Option<Wait>,
) -> Demand<'a> {
    Demand {
        model: MODELS[asked.model],
        input_tokens: asked.input,
        tags,
        excluded,
        session: asked.session,
        wait,
        ..Demand::default()
    }
}

fn windows() -> impl Strategy<Value = Window> {
    proptest::sample::select(vec![
        Window::Bucket,
        Window::Sliding,
        Window::Fixed,
        Window::Slices,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whoever_waits_has_one_end_and_nobody_waits_for_what_is_there(
        strategy in proptest::sample::select(Order::ALL.to_vec()),
        window in windows(),
        affinity in any::<bool>(),
        seed in any::<u64>(),
        script in vec(step(), 1..120),
    ) {
        let mut world = World::new(strategy, window, affinity, seed);
        for step in script {
            world.step(step);
        }
        world.drain();
    }

    #[test]
    fn equal_seeds_and_scripts_give_equal_turns(
        strategy in proptest::sample::select(Order::ALL.to_vec()),
        window in windows(),
        seed in any::<u64>(),
        script in vec(step(), 1..60),
    ) {
        let history = || {
            let mut world = World::new(strategy, window, true, seed);
            for step in script.clone() {
                world.step(step);
            }
            world.drain();
            world.history
        };
        prop_assert_eq!(history(), history());
    }
}

#[test]
fn limits_of_the_world_leave_something_to_wait_for() {
    let limited = (0..5).filter(|&number| config(number).limits != Limits::default());
    assert_eq!(limited.count(), 4);
}
