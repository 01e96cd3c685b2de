//! What must hold of the queue whatever is done to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;

const START: u64 = 1_000_000;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_unix_secs(START) + Duration::from_millis(millis)
}

fn entry(model: &str, urgency: Urgency, tenant: u64, tokens: u64, since: Timestamp) -> Entry {
    let demand = OwnedDemand {
        model: model.into(),
        input_tokens: tokens,
        ..OwnedDemand::default()
    };
    Entry {
        lane: LaneKey::of(&demand),
        urgency,
        tenant,
        weight: 1,
        tokens,
        bytes: 100,
        since,
        deadline: since + Duration::from_hours(1),
        resumed: false,
        demand: Arc::new(demand),
    }
}

fn take_first(queue: &mut Queue, now: Timestamp) -> Option<(WaiterId, Entry)> {
    let id = *queue.heads().first()?;
    Some((id, queue.take(now, id)?))
}

#[derive(Clone, Debug)]
enum Step {
    Push {
        model: usize,
        urgency: usize,
        tenant: u64,
        weight: u32,
        tokens: u64,
        bytes: u64,
        waits_ms: u64,
        resumed: bool,
    },
    Take(usize),
    TakeAny(usize),
    Remove(usize),
    Expire,
    Clear {
        urgency: Option<usize>,
        tenant: Option<u64>,
    },
    Bounds(usize, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let push = (
        (0..3_usize, 0..5_usize, 0..4_u64, 0..4_u32),
        (
            prop_oneof![0..2000_u64, Just(u64::MAX)],
            0..400_u64,
            0..20_000_u64,
            prop::bool::weighted(0.1),
        ),
    )
        .prop_map(
            |((model, urgency, tenant, weight), (tokens, bytes, waits_ms, resumed))| Step::Push {
                model,
                urgency,
                tenant,
                weight,
                tokens,
                bytes,
                waits_ms,
                resumed,
            },
        );
    prop_oneof![
        12 => push,
        4 => (0..4_usize).prop_map(Step::Take),
        1 => any::<usize>().prop_map(Step::TakeAny),
        2 => any::<usize>().prop_map(Step::Remove),
        2 => Just(Step::Expire),
        1 => (prop::option::of(0..5_usize), prop::option::of(0..4_u64))
            .prop_map(|(urgency, tenant)| Step::Clear { urgency, tenant }),
        1 => (0..40_usize, 0..8000_u64).prop_map(|(length, bytes)| Step::Bounds(length, bytes)),
    ]
}

/// The same queue as a list.
#[derive(Default)]
struct Naive(BTreeMap<WaiterId, Entry>);

impl Naive {
    fn agrees_with(&self, queue: &Queue) -> TestCaseResult {
        let entries = || self.0.values();
        prop_assert_eq!(queue.len(), self.0.len());
        prop_assert_eq!(queue.is_empty(), self.0.is_empty());
        prop_assert_eq!(
            queue.bytes(),
            entries().map(|entry| entry.bytes).sum::<u64>()
        );
        let tokens = entries().fold(0_u64, |sum, entry| sum.saturating_add(entry.tokens));
        prop_assert_eq!(queue.tokens(), tokens);
        let by_urgency =
            Urgency::ALL.map(|urgency| entries().filter(|entry| entry.urgency == urgency).count());
        prop_assert_eq!(queue.by_urgency(), by_urgency);
        prop_assert_eq!(
            queue.oldest_since(),
            entries().map(|entry| entry.since).min()
        );
        let deadline = entries().map(|entry| entry.deadline).min();
        prop_assert_eq!(queue.next_deadline(), deadline);

        let lanes: BTreeSet<&LaneKey> = entries().map(|entry| &entry.lane).collect();
        prop_assert_eq!(queue.lane_count(), lanes.len());
        prop_assert_eq!(queue.lane_numbers.len(), lanes.len());
        let accounts: BTreeSet<(Urgency, u64, &LaneKey)> = entries()
            .filter(|entry| !entry.resumed)
            .map(|entry| (entry.urgency, entry.tenant, &entry.lane))
            .collect();
        prop_assert_eq!(queue.accounts.len(), accounts.len());

        let heads = queue.heads();
        prop_assert_eq!(heads.len(), lanes.len());
        for &id in &heads {
            let Some(entry) = queue.get(id) else {
                return Err(TestCaseError::fail("a head that does not wait"));
            };
            prop_assert_eq!(queue.head_of(&entry.lane), Some(id));
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_queue_counts_what_waits_and_gives_everything_back_once(
        steps in vec((step(), 0..3000_u64), 1..150),
    ) {
        let mut queue = Queue::new(30, 5000);
        let (mut length_max, mut bytes_max) = (30, 5000);
        let mut naive = Naive::default();
        let mut millis = 0;
        for (step, passes) in steps {
            millis += passes;
            let now = at(millis);
            match step {
                Step::Push { model, urgency, tenant, weight, tokens, bytes, waits_ms, resumed } => {
                    let entry = Entry {
                        weight,
                        bytes,
                        deadline: now + Duration::from_millis(waits_ms),
                        resumed,
                        ..entry(["a", "b", "c"][model], Urgency::ALL[urgency], tenant, tokens, now)
                    };
                    let expected = if naive.0.len() >= length_max {
                        Some(Full::Length)
                    } else if queue.bytes() + bytes > bytes_max {
                        Some(Full::Bytes)
                    } else {
                        None
                    };
                    match queue.push(entry.clone()) {
                        Ok(id) => {
                            prop_assert_eq!(expected, None);
                            prop_assert!(naive.0.insert(id, entry).is_none());
                        }
                        Err(full) => prop_assert_eq!(expected, Some(full)),
                    }
                }
                Step::Take(index) => {
                    if let Some(&id) = queue.heads().get(index) {
                        let taken = queue.take(now, id);
                        prop_assert!(taken.is_some());
                        prop_assert_eq!(naive.0.remove(&id), taken);
                        prop_assert!(queue.take(now, id).is_none());
                    }
                }
                Step::TakeAny(index) | Step::Remove(index) if !naive.0.is_empty() => {
                    let id = *naive.0.keys().nth(index % naive.0.len()).unwrap();
                    let gone = if matches!(step, Step::Remove(_)) {
                        queue.remove(id)
                    } else {
                        queue.take(now, id)
                    };
                    prop_assert!(gone.is_some());
                    naive.0.remove(&id);
                    prop_assert!(queue.remove(id).is_none() && queue.get(id).is_none());
                }
                Step::TakeAny(_) | Step::Remove(_) => {}
                Step::Expire => {
                    let mut last = None;
                    while let Some((id, entry)) = queue.pop_expired(now) {
                        prop_assert!(entry.deadline <= now);
                        prop_assert!(last <= Some(entry.deadline), "the earliest goes first");
                        last = Some(entry.deadline);
                        prop_assert!(naive.0.remove(&id).is_some());
                    }
                    prop_assert!(naive.0.values().all(|entry| entry.deadline > now));
                }
                Step::Clear { urgency, tenant } => {
                    let urgency = urgency.map(|urgency| Urgency::ALL[urgency]);
                    let cleared = queue.clear(urgency, tenant);
                    prop_assert!(cleared.is_sorted_by_key(|&(id, _)| id));
                    for (id, entry) in cleared {
                        prop_assert!(urgency.is_none_or(|urgency| urgency == entry.urgency));
                        prop_assert!(tenant.is_none_or(|tenant| tenant == entry.tenant));
                        prop_assert!(naive.0.remove(&id).is_some());
                    }
                    let left = naive.0.values().any(|entry| {
                        urgency.is_none_or(|urgency| urgency == entry.urgency)
                            && tenant.is_none_or(|tenant| tenant == entry.tenant)
                    });
                    prop_assert!(!left);
                }
                Step::Bounds(length, bytes) => {
                    (length_max, bytes_max) = (length, bytes);
                    queue.set_bounds(length, bytes);
                }
            }
            naive.agrees_with(&queue)?;
        }
        while let Some((id, _)) = take_first(&mut queue, at(millis)) {
            prop_assert!(naive.0.remove(&id).is_some());
        }
        prop_assert!(naive.0.is_empty());
        prop_assert_eq!(queue.times.to_array(), [0; 5], "virtual time starts afresh");
        naive.agrees_with(&queue)?;
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn backlogged_tenants_get_tokens_in_proportion_to_their_weights(
        weights in vec(1..20_u32, 2..6),
        lanes in vec(1..6_usize, 6),
        sizes in vec(100..2000_u64, 6),
        seed in any::<u64>(),
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut queue = Queue::new(usize::MAX, u64::MAX);
        let mut got = vec![0_u64; weights.len()];
        let mut millis = 0;
        let refill = |queue: &mut Queue, random: &mut fastrand::Rng, tenant: usize, millis| {
            // Some use one lane and some many; it must make no difference.
            let model = random.usize(..lanes[tenant]).to_string();
            let tokens = random.u64(1..=sizes[tenant]);
            let entry = entry(&model, Urgency::Normal, tenant as u64, tokens, at(millis));
            queue.push(Entry { weight: weights[tenant], ..entry }).unwrap();
        };
        for tenant in 0..weights.len() {
            for _ in 0..20 {
                refill(&mut queue, &mut random, tenant, millis);
            }
        }
        let total = 100_000 * weights.len() as u64;
        while got.iter().sum::<u64>() < total {
            millis += 1;
            let (_, entry) = take_first(&mut queue, at(millis)).unwrap();
            let tenant = usize::try_from(entry.tenant).unwrap();
            got[tenant] += entry.tokens + 1;
            refill(&mut queue, &mut random, tenant, millis);
        }
        let weight_sum: u32 = weights.iter().sum();
        for (tenant, &weight) in weights.iter().enumerate() {
            let fair = total * u64::from(weight) / u64::from(weight_sum);
            // A tenth, and a request or two.
            let slack = fair / 10 + 2 * 2000;
            prop_assert!(got[tenant].abs_diff(fair) <= slack, "{got:?} for {weights:?}");
        }
    }

    #[test]
    fn no_class_tenant_or_size_starves_under_endless_overload(
        urgency in 0..5_usize,
        lane in 0..2_usize,
        tokens in 1..3000_u64,
        flood in 0..5_usize,
        fresh_tenants in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut queue = Queue::new(300, u64::MAX);
        let models = ["a", "b"];
        let mut arrivals = 1000;
        let mut flood_with = |queue: &mut Queue, millis| {
            arrivals += 1;
            // Mostly one class, so that aged requests of the others compete with young ones.
            let class = if random.u8(..4) == 0 { random.usize(..5) } else { flood };
            let tenant = if fresh_tenants { arrivals } else { random.u64(..20) };
            let (model, tokens) = (models[random.usize(..2)], random.u64(1..200));
            let _ = queue.push(entry(model, Urgency::ALL[class], tenant, tokens, at(millis)));
        };
        for millis in 0..100 {
            flood_with(&mut queue, millis);
        }
        let victim = entry(models[lane], Urgency::ALL[urgency], 999, tokens, at(100));
        let victim = queue.push(victim).unwrap();
        let mut served = false;
        for step in 0..30_000 {
            let millis = 100 + step * 100;
            flood_with(&mut queue, millis);
            flood_with(&mut queue, millis);
            let (id, _) = take_first(&mut queue, at(millis)).unwrap();
            if id == victim {
                served = true;
                break;
            }
        }
        prop_assert!(served);
    }
}

#[test]
fn a_tenant_in_a_stuck_lane_saves_up_nothing_and_loses_nothing() {
    let mut queue = Queue::new(1000, u64::MAX);
    let normal = Urgency::Normal;
    let push = |queue: &mut Queue, model, tenant| {
        queue.push(entry(model, normal, tenant, 99, at(0))).unwrap()
    };
    let stuck: Vec<_> = (0..5).map(|_| push(&mut queue, "stuck", 1)).collect();
    for _ in 0..100 {
        let id = push(&mut queue, "flows", 2);
        queue.take(at(1), id).unwrap();
    }
    // Saved up nothing: both have their turns in the lane that flows.
    for _ in 0..4 {
        push(&mut queue, "flows", 2);
        push(&mut queue, "flows", 1);
    }
    let lane = entry("flows", normal, 1, 99, at(0)).lane;
    let mut tenants = Vec::new();
    for _ in 0..4 {
        let id = queue.head_of(&lane).unwrap();
        tenants.push(queue.take(at(1), id).unwrap().tenant);
    }
    tenants.sort_unstable();
    assert_eq!(tenants, [1, 1, 2, 2]);
    // Lost nothing: one that comes to the stuck lane now does not go before all.
    let newcomer = push(&mut queue, "stuck", 3);
    let lane = entry("stuck", normal, 1, 99, at(0)).lane;
    let mut order = Vec::new();
    while let Some(id) = queue.head_of(&lane) {
        queue.take(at(61_000), id).unwrap();
        order.push(id);
    }
    assert_eq!(order.len(), stuck.len() + 1);
    assert!(order.iter().position(|&id| id == newcomer).unwrap() <= 2);
    assert!(order.last() != Some(&newcomer));
}

#[test]
fn spreading_requests_over_lanes_gains_nothing() {
    let mut queue = Queue::new(10_000, u64::MAX);
    let mut got = [0_u32; 2];
    for lane in 0..50_u32 {
        for _ in 0..20 {
            let model = lane.to_string();
            queue
                .push(entry(&model, Urgency::Normal, 0, 99, at(0)))
                .unwrap();
        }
        for _ in 0..20 {
            queue
                .push(entry("one", Urgency::Normal, 1, 99, at(5)))
                .unwrap();
        }
    }
    for millis in 0..200 {
        let (_, entry) = take_first(&mut queue, at(10 + millis)).unwrap();
        got[usize::try_from(entry.tenant).unwrap()] += 1;
    }
    assert!(got[0].abs_diff(got[1]) <= 2, "{got:?}");
}

#[test]
fn what_is_resumed_goes_first_in_its_class_and_no_further() {
    let mut queue = Queue::new(10, u64::MAX);
    let normal = queue
        .push(entry("m", Urgency::Normal, 1, 10, at(0)))
        .unwrap();
    let resumed = queue
        .push(Entry {
            resumed: true,
            ..entry("m", Urgency::Normal, 2, 5000, at(0))
        })
        .unwrap();
    let high = queue.push(entry("m", Urgency::High, 1, 10, at(1))).unwrap();
    let other = queue
        .push(entry("n", Urgency::Normal, 3, 1, at(0)))
        .unwrap();
    let mut order = Vec::new();
    while let Some((id, _)) = take_first(&mut queue, at(2)) {
        order.push(id);
    }
    assert_eq!(order, [high, resumed, other, normal]);
}

#[test]
fn a_hundred_thousand_pushes_and_takes_are_not_quadratic_work() {
    let mut queue = Queue::new(100_000, u64::MAX);
    for number in 0..100_000_u64 {
        let urgency = Urgency::ALL[usize::try_from(number % 5).unwrap()];
        let model = (number % 7).to_string();
        let tenant = number % 1001;
        queue
            .push(entry(&model, urgency, tenant, number % 5000, at(number)))
            .unwrap();
    }
    let lanes = queue.lane_count() as u64;
    let mut taken = 0;
    while take_first(&mut queue, at(100_000)).is_some() {
        taken += 1;
    }
    assert_eq!(taken, 100_000);
    // A tenant waits in a few lanes; without the bound by lanes this would be five thousand millions.
    assert!(queue.visits <= taken * lanes, "{} visits", queue.visits);
    assert!(lanes < 100);
}
