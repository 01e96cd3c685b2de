//! Ready keys with weights, drawn in exact proportion to them.
//!
//! A tree of partial sums (a Fenwick tree) makes a draw, and a change of weight, cost the logarithm
//! of the number of keys, however unequal the weights are. A key that is not ready weighs 0.
//!
//! Worked example: weights 10, 0, 5. A draw below 15 of 9 falls on the first key, of 10 on the
//! third.

#[derive(Debug, Default)]
pub(crate) struct WeightTree {
    weights: Vec<u64>,
    /// `sums[i]` is the sum of the last `lowest set bit of i + 1` weights up to `i`.
    sums: Vec<u64>,
    total: u64,
}

impl WeightTree {
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn set(&mut self, index: usize, weight: u64) {
        if self.weights.len() <= index {
            self.grow(index + 1);
        }
        let Some(slot) = self.weights.get_mut(index) else {
            return;
        };
        let old = std::mem::replace(slot, weight);
        if old == weight {
            return;
        }
        self.total = self.total - old + weight;
        let mut node = index + 1;
        while let Some(sum) = self.sums.get_mut(node - 1) {
            *sum = *sum - old + weight;
            node += node & node.wrapping_neg();
        }
    }

    /// Doubles at least, so that growth is cheap on average.
    fn grow(&mut self, needed: usize) {
        let size = needed.next_power_of_two();
        self.weights.resize(size, 0);
        self.sums.clear();
        let mut running = 0;
        let mut up_to = vec![0];
        for weight in &self.weights {
            running += weight;
            up_to.push(running);
        }
        let sum_up_to = |node: usize| up_to.get(node).copied().unwrap_or(0);
        for node in 1..=size {
            let span = node & node.wrapping_neg();
            self.sums.push(sum_up_to(node) - sum_up_to(node - span));
        }
    }

    /// The key on which `target` falls, counted over the weights in order of index.
    pub(crate) fn find(&self, target: u64) -> Option<usize> {
        if target >= self.total {
            return None;
        }
        let (mut node, mut left) = (0, target);
        let mut step = self.sums.len();
        while step > 0 {
            if let Some(&sum) = self.sums.get(node + step - 1)
                && sum <= left
            {
                left -= sum;
                node += step;
            }
            step /= 2;
        }
        Some(node)
    }

    /// Indices and weights of the ready keys.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (usize, u64)> {
        self.weights
            .iter()
            .copied()
            .enumerate()
            .filter(|&(_, weight)| weight > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_falls_on_the_key_whose_share_it_is() {
        let mut tree = WeightTree::default();
        let mut rng = fastrand::Rng::with_seed(7);
        for round in 0..200 {
            tree.set(rng.usize(0..40), rng.u64(0..4));
            let expected: Vec<usize> = tree
                .entries()
                .flat_map(|(index, weight)| (0..weight).map(move |_| index))
                .collect();
            assert_eq!(tree.total(), expected.len() as u64, "round {round}");
            for (target, &index) in expected.iter().enumerate() {
                assert_eq!(tree.find(target as u64), Some(index), "round {round}");
            }
            assert_eq!(tree.find(tree.total()), None);
        }
    }
}
