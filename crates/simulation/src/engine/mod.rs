//! The run itself: a heap of instants and what happens at each.
//!
//! It plays the gateway's part towards the pool (ask, wait, attempt, report, settle, ask again) and the
//! network's towards the provider. Nothing in it decides anything that the pool or the provider should.
//!
//! Worked example: a request arrives at 0 ms, is granted at once, reaches the provider at 12 ms, whose
//! head leaves at 400 ms and reaches the pool at 407 ms with what is left of the quota; pieces of the
//! answer follow; its end settles the lease at 2.1 s.

mod gateway;
mod upstream;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::time::Duration;

use fastrand::Rng;
use keypool_pool::{Course, Lease, Output, Pool, ProbeResult, Timestamp, Verdict, WaiterId};
use keypool_sim::model::{Header, Model, Reply, Ticket};
use keypool_sim::{Endpoint, SimTime};

use crate::capacity::Capacity;
use crate::invariants::Watch;
use crate::report::Report;
use crate::scenario::Scenario;
use crate::tally::Tally;
use crate::traffic::{Ask, Source};
use crate::{ideal, world};

/// 2027-01-15, 00:00:00 UTC: runs begin at the turn of a minute and of a day.
const START_US: u64 = 1_799_971_200_000_000;

/// Wakes within one second after which the pool is taken to spin: as a driver it would burn a core.
const WAKES_PER_SECOND_MAX: u32 = 20_000;

/// What happens at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The next request arrives.
    Arrival,
    /// A request reaches the provider.
    AtProvider(u64),
    /// The head of its answer leaves the provider.
    HeadLeaves(u64),
    /// The head reaches the pool.
    Head(u64),
    /// The provider writes a piece of the answer.
    Piece(u64),
    /// Output tokens written so far are known to the pool.
    Progress(u64, u64),
    /// The end of the answer, good or bad, reaches the pool.
    End(u64),
    /// Nothing came for too long in that attempt.
    Silence(u64, u32),
    /// The client leaves.
    Leave(u64),
    /// The answer to a probe is there.
    Probed(usize),
    /// The pause before a request's next round is over.
    Again(u64),
    /// The pool asked to be woken.
    Wake,
}

/// How an answer ends.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Close {
    Complete,
    /// Reset, or cut short.
    Broken,
    /// Never: the silence will be noticed.
    Never,
    /// An error event with this code.
    Error(Option<String>),
}

/// One attempt of a request.
struct Attempt {
    lease: Option<Lease>,
    key: usize,
    sent_us: u64,
    reply: Option<Reply>,
    ticket: Option<Ticket>,
    request_id: String,
    headers: Vec<Header>,
    /// Pieces of the answer that are still to be written.
    pieces: Vec<u64>,
    pace: Duration,
    written: u64,
    close: Close,
    /// What comes from the provider comes in order.
    back_us: u64,
}

/// A request under way.
struct Request {
    ask: Ask,
    deadline: Timestamp,
    course: Course,
    attempts: u32,
    /// The last failure was for lack of quota.
    out_of_quota: bool,
    failure: Option<String>,
    waiter: Option<WaiterId>,
    waiting_since: Timestamp,
    waited: Duration,
    attempt: Option<Attempt>,
}

struct Engine<'a> {
    scenario: &'a Scenario,
    pool: Pool,
    model: Model,
    source: Source<'a>,
    rng: Rng,
    now: Timestamp,
    heap: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    next_ask: Option<Ask>,
    requests: HashMap<u64, Request>,
    /// Who waits, in the order of their arrival.
    waiting: BTreeMap<WaiterId, u64>,
    next_request: u64,
    wake_us: Option<u64>,
    spins: (u64, u32),
    tally: Tally,
    watch: Watch,
}

/// Runs a scenario to its end.
///
/// # Panics
///
/// When an invariant does not hold: with the seed, the step, and the command that replays it. Also when
/// the scenario itself makes no sense, such as a key of a quota that is not there.
#[must_use]
pub fn run(scenario: &Scenario) -> Report {
    let watch = Watch::new(scenario);
    let capacity = Capacity::of(scenario);
    let now = Timestamp::from_unix_micros(START_US);
    let pool = match Pool::new(now, world::pool(scenario)) {
        Ok(pool) => pool,
        Err(error) => watch.fail(&format!("the pool's configuration is refused: {error}")),
    };
    let model = match Model::new(sim_time(now), &world::provider(scenario)) {
        Ok(model) => model,
        Err(error) => watch.fail(&format!("the provider's configuration is refused: {error}")),
    };
    let source = Source::new(scenario, capacity.requests_per_minute);
    let offered = source.rate();
    let mut engine = Engine {
        scenario,
        pool,
        model,
        source,
        rng: Rng::with_seed(scenario.seed ^ 0x6e65_7477),
        now,
        heap: BinaryHeap::new(),
        sequence: 0,
        next_ask: None,
        requests: HashMap::new(),
        waiting: BTreeMap::new(),
        next_request: 0,
        wake_us: None,
        spins: (0, 0),
        tally: Tally::new(scenario, START_US),
        watch,
    };
    engine.run_to_the_end();
    let ideal = ideal::waits(scenario, &capacity);
    let (tally, model) = (engine.tally, &engine.model);
    tally.report(scenario, &capacity, offered, ideal, &model.counters())
}

const fn sim_time(now: Timestamp) -> SimTime {
    SimTime::from_unix_micros(now.as_unix_micros())
}

impl Engine<'_> {
    fn run_to_the_end(&mut self) {
        self.plan_arrival();
        while let Some(Reverse((at, _, event))) = self.heap.pop() {
            let is_idle = self.next_ask.is_none() && self.requests.is_empty();
            if is_idle {
                break;
            }
            self.now = self.now.max(Timestamp::from_unix_micros(at));
            self.watch.step(self.now);
            self.happens(event);
            self.poll();
        }
        self.poll();
        self.watch
            .at_the_end(self.now, &mut self.pool, &self.tally, self.waiting.len());
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Arrival => self.arrives(),
            Event::AtProvider(id) => self.at_provider(id),
            Event::HeadLeaves(id) => self.head_leaves(id),
            Event::Head(id) => self.head_arrives(id),
            Event::Piece(id) => self.writes(id),
            Event::Progress(id, tokens) => self.progresses(id, tokens),
            Event::End(id) => self.ends(id),
            Event::Silence(id, attempt) => self.falls_silent(id, attempt),
            Event::Leave(id) => self.leaves(id),
            Event::Probed(key) => self.probed(key),
            Event::Again(id) => self.asks(id),
            Event::Wake => {
                // One that an earlier one has come before is stale.
                let now_us = self.now.as_unix_micros();
                if self.wake_us.is_some_and(|planned| planned <= now_us) {
                    self.wake_us = None;
                    self.tally.wakes += 1;
                }
            }
        }
    }

    fn plan(&mut self, at: Timestamp, event: Event) {
        self.sequence += 1;
        let entry = (at.as_unix_micros(), self.sequence, event);
        self.heap.push(Reverse(entry));
    }

    fn plan_arrival(&mut self) {
        self.next_ask = self.source.next();
        if let Some(ask) = &self.next_ask {
            let at = Timestamp::from_unix_micros(START_US.saturating_add(ask.at_us));
            self.plan(at, Event::Arrival);
        }
    }

    /// A time on the way.
    fn transit(&mut self) -> Duration {
        let (least, most) = self.scenario.transit_ms;
        let micros = self.rng.u64(least * 1000..=most.max(least) * 1000);
        Duration::from_micros(micros)
    }

    /// What the gateway does after each call: turns, outputs, and when to come again.
    fn poll(&mut self) {
        while let Some((waiter, turn)) = self.pool.poll_turn(self.now) {
            self.turn_comes(waiter, turn);
        }
        while let Some(output) = self.pool.poll_output(self.now) {
            match output {
                Output::Probe(key) => {
                    let wait = self.transit() + self.transit();
                    let position = world::position_of(key);
                    self.plan(self.now + wait, Event::Probed(position));
                }
                Output::Alert(alert) => self.tally.alert(alert.kind),
                Output::StateChanged(_) => self.tally.state_changes += 1,
                Output::BreakerChanged(change) => self.tally.breaker(&change),
            }
        }
        self.watch.nobody_is_late(self.now, &self.pool);
        if self.watch.is_queue_due() && !self.waiting.is_empty() {
            self.check_queue();
        }
        if let Some((at, reason)) = self.pool.poll_timeout() {
            self.wake_at(at.max(self.now), &reason.to_string());
        }
    }

    fn wake_at(&mut self, at: Timestamp, reason: &str) {
        let at_us = at.as_unix_micros();
        if self.wake_us.is_none_or(|planned| at_us < planned) {
            let second = at_us / 1_000_000;
            let (known, count) = self.spins;
            let count = if known == second { count + 1 } else { 1 };
            self.spins = (second, count);
            if count > WAKES_PER_SECOND_MAX {
                let queue = self.pool.queue_snapshot();
                self.watch.fail(&format!(
                    "the pool wants to be woken without end: {reason}, at {at}; {queue:?}"
                ));
            }
            self.wake_us = Some(at_us);
            self.plan(at, Event::Wake);
        }
    }

    /// Nobody waits while there is room for all that wait.
    fn check_queue(&mut self) {
        const LOOKED_AT: usize = 8;
        if self.waiting.len() > LOOKED_AT {
            return;
        }
        let due = self.pool.queue_snapshot().next_turn_at;
        let soon = Duration::from_micros(self.scenario.keys.len() as u64);
        if due.is_none_or(|due| due <= self.now + soon) {
            return;
        }
        let waiting: Vec<u64> = self.waiting.values().copied().collect();
        for id in &waiting {
            let Some(request) = self.requests.get(id) else {
                continue;
            };
            if request.ask.session.is_some() && self.scenario.pool.affinity {
                return;
            }
            let demand = gateway::demand(self.scenario, request);
            if self
                .pool
                .explain(self.now, &demand.view())
                .refusal
                .is_some()
            {
                return;
            }
        }
        self.watch.fail(&format!(
            "{} wait although there is room for each of them; the queue moves next at {due:?}",
            waiting.len()
        ));
    }

    fn probed(&mut self, key: usize) {
        let secret = world::secret(key);
        let models = Endpoint::Models(self.scenario.provider.dialect());
        let request = keypool_sim::model::Request::plain("", 0, None);
        let now = sim_time(self.now);
        let verdict = self.model.ask(now, models, &secret, &request);
        let result = match verdict.reply.status() {
            Some(200) => ProbeResult::Passed,
            Some(401 | 403) => ProbeResult::Failed(keypool_pool::ErrorNote::default()),
            _ => ProbeResult::Inconclusive,
        };
        if let Some(ticket) = verdict.ticket {
            self.model
                .finish(now, ticket, keypool_sim::model::Ending::Complete);
        }
        self.tally.probes += 1;
        self.pool.handle_probe(self.now, world::key_id(key), result);
    }

    /// Settles a lease.
    fn settle(&mut self, lease: Lease, outcome: &keypool_pool::Outcome) {
        let key = world::position_of(lease.key());
        self.tally.settled(key, outcome);
        self.pool.handle_outcome(self.now, lease, outcome);
    }

    /// Lets a lease go as a cancelled task does.
    fn drop_lease(&mut self, lease: Lease) {
        let key = world::position_of(lease.key());
        self.tally.settled(
            key,
            &keypool_pool::Outcome::of(Verdict::Cancelled, keypool_pool::Charge::AsReserved),
        );
        drop(lease);
    }
}
