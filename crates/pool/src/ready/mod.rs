//! The ready keys, kept such that a pick is cheap under each strategy.
//!
//! What it prevents: work in proportion to the number of keys for each request. Keys that cannot
//! take even the smallest demand are not in here at all; the pool puts them back when they can.
//! Those with equal model lists form a class, so that a request passes over all keys of the wrong
//! model at once.

pub(crate) mod least_loaded;
pub(crate) mod ordered;
pub(crate) mod weighted;

use smallvec::SmallVec;

use crate::glob;
use crate::strategy::Strategy;
use least_loaded::{Dense, EXACT_MAX, Load, SAMPLES};
use ordered::Ordered;
use weighted::WeightTree;

/// Draws by weight that may fall on keys without room before all are examined.
const DRAWS_MAX: usize = 16;

/// Ranks of used keys under lru begin here; never used ones rank by position below it.
const USED_FROM: u64 = 1 << 62;

/// What the structures need to know of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranking {
    pub(crate) class: usize,
    pub(crate) position: u64,
    pub(crate) last_grant: u64,
    pub(crate) weight: u64,
}

/// What a pick asks of the pool about a key.
pub(crate) trait Candidates {
    /// Whether the key can take the demand now.
    fn fits(&mut self, index: usize) -> bool;
    /// How loaded it is.
    fn load(&self, index: usize) -> Load;
}

#[derive(Debug)]
enum Ready {
    Ordered(Ordered),
    Dense(Dense),
    Weights(WeightTree),
}

#[derive(Debug)]
struct Class {
    models: Vec<String>,
    members: usize,
    ready: Ready,
}

/// The classes that may serve one request.
pub(crate) type Matching = SmallVec<[usize; 8]>;

#[derive(Debug)]
pub(crate) struct Selector {
    strategy: Strategy,
    classes: Vec<Class>,
    rng: fastrand::Rng,
    /// Position of the key of the last grant: round-robin goes on behind it.
    cursor: Option<u64>,
}

impl Selector {
    pub(crate) fn new(strategy: Strategy, seed: u64) -> Self {
        Self {
            strategy,
            classes: Vec::new(),
            rng: fastrand::Rng::with_seed(seed),
            cursor: None,
        }
    }

    pub(crate) const fn strategy(&self) -> Strategy {
        self.strategy
    }

    pub(crate) const fn rng(&mut self) -> &mut fastrand::Rng {
        &mut self.rng
    }

    /// Changes the strategy. All keys leave the structures and have to be inserted again.
    pub(crate) fn set_strategy(&mut self, strategy: Strategy) {
        self.strategy = strategy;
        for class in &mut self.classes {
            class.ready = Ready::for_strategy(strategy);
        }
    }

    /// Round-robin goes on behind this position.
    pub(crate) const fn set_cursor(&mut self, cursor: Option<u64>) {
        self.cursor = cursor;
    }

    /// The class of keys with this model list; the caller counts as one more member.
    pub(crate) fn join_class(&mut self, models: &[String]) -> usize {
        let known = self.classes.iter().position(|class| class.models == models);
        let found = known.or_else(|| self.classes.iter().position(|class| class.members == 0));
        let class = found.unwrap_or(self.classes.len());
        if found.is_none() {
            let ready = Ready::for_strategy(self.strategy);
            self.classes.push(Class {
                models: Vec::new(),
                members: 0,
                ready,
            });
        }
        if let Some(class) = self.classes.get_mut(class) {
            if class.members == 0 {
                class.models = models.to_vec();
            }
            class.members += 1;
        }
        class
    }

    /// One member less; it has been removed from the structures before.
    pub(crate) fn leave_class(&mut self, class: usize) {
        if let Some(class) = self.classes.get_mut(class) {
            class.members = class.members.saturating_sub(1);
        }
    }

    /// The classes whose keys may serve the model; all of them without one.
    pub(crate) fn matching(&self, model: Option<&str>) -> Matching {
        let serves = |class: &Class| {
            class.members > 0
                && model.is_none_or(|model| {
                    class.models.is_empty()
                        || class
                            .models
                            .iter()
                            .any(|pattern| glob::matches(pattern, model))
                })
        };
        let numbered = self.classes.iter().enumerate();
        numbered
            .filter(|(_, class)| serves(class))
            .map(|(number, _)| number)
            .collect()
    }

    pub(crate) fn insert(&mut self, index: usize, ranking: &Ranking) {
        let rank = self.rank(ranking);
        if let Some(class) = self.classes.get_mut(ranking.class) {
            match &mut class.ready {
                Ready::Ordered(ordered) => ordered.insert(rank, index),
                Ready::Dense(dense) => dense.insert(index),
                Ready::Weights(weights) => weights.set(index, ranking.weight),
            }
        }
    }

    pub(crate) fn remove(&mut self, index: usize, ranking: &Ranking) {
        let rank = self.rank(ranking);
        if let Some(class) = self.classes.get_mut(ranking.class) {
            match &mut class.ready {
                Ready::Ordered(ordered) => ordered.remove(rank, index),
                Ready::Dense(dense) => dense.remove(index),
                Ready::Weights(weights) => weights.set(index, 0),
            }
        }
    }

    /// A ready key was granted; `before` and `after` tell its ranking around the grant.
    pub(crate) fn granted(&mut self, index: usize, before: &Ranking, after: &Ranking) {
        self.cursor = Some(after.position);
        if self.strategy == Strategy::Lru {
            self.remove(index, before);
            self.insert(index, after);
        }
    }

    /// A ready key's weight may have changed.
    pub(crate) fn reweigh(&mut self, index: usize, ranking: &Ranking) {
        if self.strategy == Strategy::Weighted {
            self.insert(index, ranking);
        }
    }

    const fn rank(&self, ranking: &Ranking) -> u64 {
        match self.strategy {
            Strategy::Lru if ranking.last_grant > 0 => USED_FROM | ranking.last_grant,
            _ => ranking.position,
        }
    }

    /// Some of the ready keys under least-loaded.
    pub(crate) fn sample(&self, count: usize) -> SmallVec<[usize; 16]> {
        let dense = self.classes.iter().filter_map(|class| match &class.ready {
            Ready::Dense(dense) => Some(dense),
            Ready::Ordered(_) | Ready::Weights(_) => None,
        });
        dense.flat_map(Dense::indices).take(count).collect()
    }

    /// Picks a key that fits, by the strategy; `None` if no ready key does.
    pub(crate) fn pick(
        &mut self,
        matching: &[usize],
        candidates: &mut impl Candidates,
    ) -> Option<usize> {
        match self.strategy {
            Strategy::RoundRobin => self.pick_next(matching, candidates),
            Strategy::Lru | Strategy::FillFirst => {
                self.first_fit(matching, 0, u64::MAX, candidates)
            }
            Strategy::LeastLoaded => self.pick_least_loaded(matching, candidates),
            Strategy::Weighted => self.pick_weighted(matching, candidates),
        }
    }

    fn pick_next(&self, matching: &[usize], candidates: &mut impl Candidates) -> Option<usize> {
        let Some(cursor) = self.cursor else {
            return self.first_fit(matching, 0, u64::MAX, candidates);
        };
        self.first_fit(matching, cursor.saturating_add(1), u64::MAX, candidates)
            .or_else(|| self.first_fit(matching, 0, cursor, candidates))
    }

    fn first_fit(
        &self,
        matching: &[usize],
        first: u64,
        last: u64,
        candidates: &mut impl Candidates,
    ) -> Option<usize> {
        let mut best: Option<(u64, usize)> = None;
        for &class in matching {
            if let Some(Class {
                ready: Ready::Ordered(ordered),
                ..
            }) = self.classes.get(class)
            {
                let below = best.map_or(last, |(rank, _)| rank);
                let found = ordered.first_fit(first..=below, |index| candidates.fits(index));
                best = found.or(best);
            }
        }
        best.map(|(_, index)| index)
    }

    fn dense<'a>(&'a self, matching: &'a [usize]) -> impl Iterator<Item = &'a Dense> + Clone {
        matching
            .iter()
            .filter_map(|&class| match &self.classes.get(class)?.ready {
                Ready::Dense(dense) => Some(dense),
                Ready::Ordered(_) | Ready::Weights(_) => None,
            })
    }

    fn pick_least_loaded(
        &mut self,
        matching: &[usize],
        candidates: &mut impl Candidates,
    ) -> Option<usize> {
        let total: usize = self.dense(matching).map(Dense::len).sum();
        if total > EXACT_MAX {
            let draws: [usize; SAMPLES] = std::array::from_fn(|_| self.rng.usize(0..total));
            let sample = draws
                .into_iter()
                .filter_map(|draw| self.nth_ready(matching, draw));
            if let Some(index) = least_loaded(sample, candidates) {
                return Some(index);
            }
        }
        least_loaded(self.dense(matching).flat_map(Dense::indices), candidates)
    }

    fn nth_ready(&self, matching: &[usize], mut nth: usize) -> Option<usize> {
        for dense in self.dense(matching) {
            if nth < dense.len() {
                return dense.get(nth);
            }
            nth -= dense.len();
        }
        None
    }

    fn weights<'a>(&'a self, matching: &'a [usize]) -> impl Iterator<Item = &'a WeightTree> {
        matching
            .iter()
            .filter_map(|&class| match &self.classes.get(class)?.ready {
                Ready::Weights(weights) => Some(weights),
                Ready::Ordered(_) | Ready::Dense(_) => None,
            })
    }

    fn pick_weighted(
        &mut self,
        matching: &[usize],
        candidates: &mut impl Candidates,
    ) -> Option<usize> {
        let total: u64 = self.weights(matching).map(WeightTree::total).sum();
        if total == 0 {
            return None;
        }
        for _ in 0..DRAWS_MAX {
            let target = self.rng.u64(0..total);
            // Keys that do not fit are drawn in vain, which leaves the proportions of the others.
            if let Some(index) = self.drawn(matching, target)
                && candidates.fits(index)
            {
                return Some(index);
            }
        }
        let fitting: Vec<(usize, u64)> = self
            .weights(matching)
            .flat_map(WeightTree::entries)
            .filter(|&(index, _)| candidates.fits(index))
            .collect();
        let total = fitting.iter().map(|&(_, weight)| weight).sum();
        if total == 0 {
            return None;
        }
        let mut left = self.rng.u64(0..total);
        let hit = fitting.into_iter().find(|&(_, weight)| {
            let hit = left < weight;
            left = left.saturating_sub(weight);
            hit
        });
        hit.map(|(index, _)| index)
    }

    fn drawn(&self, matching: &[usize], mut target: u64) -> Option<usize> {
        for weights in self.weights(matching) {
            if target < weights.total() {
                return weights.find(target);
            }
            target -= weights.total();
        }
        None
    }
}

impl Ready {
    fn for_strategy(strategy: Strategy) -> Self {
        match strategy {
            Strategy::RoundRobin | Strategy::Lru | Strategy::FillFirst => {
                Self::Ordered(Ordered::default())
            }
            Strategy::LeastLoaded => Self::Dense(Dense::default()),
            Strategy::Weighted => Self::Weights(WeightTree::default()),
        }
    }
}

fn least_loaded(
    indices: impl Iterator<Item = usize>,
    candidates: &mut impl Candidates,
) -> Option<usize> {
    let mut best: Option<(Load, usize)> = None;
    for index in indices {
        // Whether it fits is asked of the few that would be better than the best so far.
        let load = candidates.load(index);
        if best.is_none_or(|(least, _)| load < least) && candidates.fits(index) {
            best = Some((load, index));
        }
    }
    best.map(|(_, index)| index)
}
