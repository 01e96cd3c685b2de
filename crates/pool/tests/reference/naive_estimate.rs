//! What estimates come to, once more in plain words: of each model the mean of real ÷ asked and how far
//! the single ratios are off it, the last 32 weighing most.

use std::collections::BTreeMap;

use crate::naive_meter::Wants;

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    value: f64,
    samples: u32,
}

impl Mean {
    fn add(&mut self, sample: f64) {
        self.samples = (self.samples + 1).min(32);
        self.value += (sample - self.value) / f64::from(self.samples);
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Side {
    ratio: Mean,
    miss: Mean,
    /// The largest ratio, sinking to the mean by a 512th each time.
    largest: f64,
}

impl Side {
    fn mean(&self) -> f64 {
        if self.ratio.samples == 0 {
            1.0
        } else {
            self.ratio.value
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "tests use small numbers"
    )]
    fn reserve(&self, asked: u64, by_largest: bool) -> u64 {
        let most = 2.5 * self.mean();
        let mut factor = (self.mean() + 1.5 * self.miss.value).min(most);
        if by_largest {
            factor = factor.max(self.largest.min(most));
        }
        if (factor - 1.0).abs() < f64::EPSILON {
            return asked;
        }
        (asked as f64 * factor * (1.0 - 1e-6)).ceil() as u64
    }

    #[expect(clippy::cast_precision_loss, reason = "tests use small numbers")]
    fn learn(&mut self, asked: u64, real: u64) {
        if asked > 0 {
            let ratio = (real as f64 / asked as f64).clamp(1.0 / 64.0, 64.0);
            let mean = self.mean();
            self.miss.add((ratio - mean).abs());
            self.ratio.add(ratio);
            self.largest -= (self.largest - self.ratio.value) / 512.0;
            self.largest = self.largest.max(ratio);
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct NaiveEstimates(BTreeMap<String, (Side, Side)>);

impl NaiveEstimates {
    pub(crate) fn reserve(&self, model: &str, asked: &Wants) -> Wants {
        let (input, output) = self.0.get(model).copied().unwrap_or_default();
        Wants {
            requests: asked.requests,
            input: input.reserve(asked.input, true),
            output: output.reserve(asked.output, false),
        }
    }

    pub(crate) fn learn(&mut self, model: &str, asked: &Wants, real: &Wants) {
        let (input, output) = self.0.entry(model.to_owned()).or_default();
        input.learn(asked.input, real.input);
        output.learn(asked.output, real.output);
    }
}
