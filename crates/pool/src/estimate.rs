//! Learns how estimates of tokens relate to the truth.
//!
//! What is reserved before a request is an estimate: bytes by a rule of thumb, output by what the
//! client allows. A tokenizer that makes a third more of a language, or clients that allow 64 000
//! tokens and use 300, make that estimate wrong for days: too low and the provider refuses, too
//! high and quota lies idle. What the provider reports in the end says how wrong.
//!
//! For each class of models and each side (input, output) the ratio real / raw has a mean and a
//! mean absolute deviation, both weighted towards the last [`MEMORY`] samples. What is reserved is
//! raw × (mean + [`SAFETY`] × deviation), at most [`CAP`] means; what is expected is raw × mean.
//! Unlearnt, the ratio is 1.
//!
//! Input is reserved by the largest ratio of the last while where that is more. A provider asks for room
//! for the whole prompt before it begins: at a full quota each prompt that is larger than was thought is
//! refused, while room that was reserved too much comes back with the answer. Output has no such moment.
//!
//! Worked example: a prompt estimated at 1000 tokens that always turns out to be 1300 is, after
//! enough samples, reserved as 1300, since the deviation has gone. Outputs that spread as an
//! exponential distribution around a tenth of what is allowed have a deviation of 0.074: of 1000
//! allowed tokens 100 are expected and 210 reserved, which covers seven in eight.

use std::collections::BTreeMap;

use crate::bounds::{ESTIMATE_CLASSES_MAX, ESTIMATE_RATIO_MAX};

/// Deviations above the mean that are reserved. It covers 7 of 8 draws of an exponential
/// distribution and 9 of 10 of a log-normal one; the rest is put right at settlement.
const SAFETY: f64 = 1.5;

/// No more than this many means are reserved, however heavy the tail.
const CAP: f64 = 2.5;

/// The largest ratio sinks towards the mean by this part with each sample.
const PEAK_MEMORY: f64 = 512.0;

/// Up to this many samples all weigh the same; from then on the newest weighs 1/32, so that a
/// change of clients is learnt within some dozens of requests.
const MEMORY: u32 = 32;

/// The same for the error over all classes, which is for people to read and should stand still.
const ERROR_MEMORY: u32 = 128;

#[derive(Clone, Debug, Default)]
pub(crate) struct Estimates {
    classes: BTreeMap<u32, Class>,
    learnt: u64,
    input_error: Mean,
}

#[derive(Clone, Copy, Debug, Default)]
struct Class {
    input: Ratio,
    output: Ratio,
    /// When it learnt last, in samples of all classes.
    learnt: u64,
}

impl Estimates {
    /// What to reserve for a raw estimate of (input, output); never more output than
    /// `output_max`, what the client or the model allows.
    pub(crate) fn reserve(
        &self,
        class: u32,
        raw_input: u64,
        raw_output: u64,
        output_max: Option<u64>,
    ) -> (u64, u64) {
        let Class { input, output, .. } = self.class(class);
        let output = scaled_up(raw_output, output.safe());
        (
            scaled_up(raw_input, input.peak()),
            output_max.map_or(output, |most| output.min(most)),
        )
    }

    /// What a raw estimate of (input, output) will come to on average.
    pub(crate) fn expected(&self, class: u32, raw_input: u64, raw_output: u64) -> (u64, u64) {
        let Class { input, output, .. } = self.class(class);
        (
            scaled(raw_input, input.mean()),
            scaled(raw_output, output.mean()),
        )
    }

    /// Learns what a raw estimate of (input, output) came to. A side whose estimate was 0 says
    /// nothing.
    pub(crate) fn learn(&mut self, class: u32, raw: (u64, u64), real: (u64, u64)) {
        let (expected_input, _) = self.expected(class, raw.0, raw.1);
        if raw.0 > 0 {
            self.input_error.learn_error(expected_input, real.0);
        }
        if !self.classes.contains_key(&class) && self.classes.len() >= ESTIMATE_CLASSES_MAX {
            let unused = self
                .classes
                .iter()
                .min_by_key(|(_, class)| class.learnt)
                .map(|(&id, _)| id);
            unused.and_then(|id| self.classes.remove(&id));
        }
        self.learnt += 1;
        let class = self.classes.entry(class).or_default();
        class.learnt = self.learnt;
        class.input.learn(raw.0, real.0);
        class.output.learn(raw.1, real.1);
    }

    /// By how much what was expected of inputs missed the truth, as a part of the truth: 0.1 is a
    /// tenth. `None` before the first sample.
    pub(crate) fn error_ratio(&self) -> Option<f64> {
        self.input_error.get()
    }

    fn class(&self, class: u32) -> Class {
        self.classes.get(&class).copied().unwrap_or_default()
    }
}

/// How real / raw is distributed.
#[derive(Clone, Copy, Debug, Default)]
struct Ratio {
    mean: Mean,
    deviation: Mean,
    /// The largest of the last while.
    largest: f64,
}

impl Ratio {
    fn mean(&self) -> f64 {
        self.mean.get().unwrap_or(1.0)
    }

    fn safe(&self) -> f64 {
        let mean = self.mean();
        let deviation = self.deviation.get().unwrap_or(0.0);
        (mean + SAFETY * deviation).min(CAP * mean)
    }

    /// As [`Self::safe`], and at least the largest of the last while.
    fn peak(&self) -> f64 {
        self.safe().max(self.largest.min(CAP * self.mean()))
    }

    fn learn(&mut self, raw: u64, real: u64) {
        if raw == 0 {
            return;
        }
        let ratio =
            (float(real) / float(raw)).clamp(ESTIMATE_RATIO_MAX.recip(), ESTIMATE_RATIO_MAX);
        // Against the mean before this sample: the first one tells that 1 was wrong by so much.
        self.deviation.learn((ratio - self.mean()).abs(), MEMORY);
        self.mean.learn(ratio, MEMORY);
        let sunk = self.largest - (self.largest - self.mean.value) / PEAK_MEMORY;
        self.largest = ratio.max(sunk);
    }
}

/// A mean that forgets.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    value: f64,
    samples: u32,
}

impl Mean {
    fn get(&self) -> Option<f64> {
        (self.samples > 0).then_some(self.value)
    }

    fn learn(&mut self, sample: f64, memory: u32) {
        self.samples = (self.samples + 1).min(memory);
        self.value += (sample - self.value) / f64::from(self.samples);
    }

    fn learn_error(&mut self, expected: u64, real: u64) {
        if real > 0 {
            let error = float(expected.abs_diff(real)) / float(real);
            self.learn(error.min(ESTIMATE_RATIO_MAX), ERROR_MEMORY);
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an estimate is not exact to 16 digits"
)]
const fn float(tokens: u64) -> f64 {
    tokens as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and the cast saturates"
)]
fn scaled(raw: u64, ratio: f64) -> u64 {
    // Unlearnt is exact, also above 2⁵³.
    if (ratio - 1.0).abs() < f64::EPSILON {
        return raw;
    }
    (float(raw) * ratio).round() as u64
}

/// As [`scaled`], but rounded up; a millionth is not worth a token.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and the cast saturates"
)]
fn scaled_up(raw: u64, ratio: f64) -> u64 {
    if (ratio - 1.0).abs() < f64::EPSILON {
        return raw;
    }
    (float(raw) * ratio * (1.0 - 1e-6)).ceil() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_learnt_is_taken_as_it_is() {
        let estimates = Estimates::default();
        assert_eq!(estimates.reserve(7, 123, u64::MAX, None), (123, u64::MAX));
        assert_eq!(estimates.expected(7, 123, 45), (123, 45));
        assert_eq!(estimates.error_ratio(), None);
    }

    #[test]
    fn a_tokenizer_that_makes_a_third_more_is_learnt_within_fifty_samples() {
        let mut estimates = Estimates::default();
        for number in 0..50 {
            let raw = 100 + number * 37;
            estimates.learn(1, (raw, 0), (raw * 13 / 10, 0));
        }
        let (expected, _) = estimates.expected(1, 10_000, 0);
        assert!((12_970..=13_000).contains(&expected), "{expected}");
        let (reserved, _) = estimates.reserve(1, 10_000, 0, None);
        assert!((12_980..=13_200).contains(&reserved), "{reserved}");
        assert_eq!(
            estimates.expected(2, 10_000, 0).0,
            10_000,
            "other classes keep theirs"
        );
    }

    #[test]
    fn a_constant_ratio_is_reserved_exactly() {
        let mut estimates = Estimates::default();
        for _ in 0..500 {
            estimates.learn(1, (1000, 1000), (1300, 100));
        }
        assert_eq!(estimates.reserve(1, 1000, 1000, None), (1300, 100));
        assert_eq!(estimates.expected(1, 2000, 10), (2600, 1));
    }

    #[test]
    fn a_change_to_a_language_with_more_tokens_a_byte_is_followed() {
        let mut estimates = Estimates::default();
        for _ in 0..1000 {
            estimates.learn(1, (1000, 0), (1000, 0));
        }
        // Clients write Chinese now: three bytes and a token or more for each character.
        let mut short = 0;
        for _ in 0..100 {
            if estimates.reserve(1, 1000, 0, None).0 < 2200 {
                short += 1;
            }
            estimates.learn(1, (1000, 0), (2200, 0));
        }
        assert!(short <= 32, "{short} reservations were too small");
        let (expected, _) = estimates.expected(1, 1000, 0);
        assert!(expected > 2100, "{expected}");
    }

    #[test]
    fn no_more_output_is_reserved_than_is_allowed() {
        let mut estimates = Estimates::default();
        for _ in 0..100 {
            estimates.learn(1, (0, 100), (0, 400));
        }
        assert_eq!(estimates.expected(1, 0, 100).1, 400);
        assert_eq!(estimates.reserve(1, 0, 100, Some(250)).1, 250);
    }

    #[test]
    fn an_estimate_of_nothing_says_nothing_and_wild_samples_are_bounded() {
        let mut estimates = Estimates::default();
        estimates.learn(1, (0, 0), (500, 500));
        assert_eq!(estimates.reserve(1, 10, 10, None), (10, 10));
        estimates.learn(1, (1, u64::MAX), (u64::MAX, 0));
        assert_eq!(estimates.expected(1, 100, 6400), (6400, 100));
        assert!(estimates.error_ratio().unwrap() <= ESTIMATE_RATIO_MAX);
    }

    #[test]
    fn the_class_unused_for_longest_gives_way() {
        let mut estimates = Estimates::default();
        let classes = u32::try_from(ESTIMATE_CLASSES_MAX).unwrap();
        for class in 0..classes {
            estimates.learn(class, (100, 0), (200, 0));
        }
        estimates.learn(0, (100, 0), (200, 0));
        estimates.learn(classes, (100, 0), (200, 0));
        assert_eq!(estimates.classes.len(), ESTIMATE_CLASSES_MAX);
        assert_eq!(estimates.expected(0, 100, 0).0, 200);
        assert_eq!(estimates.expected(1, 100, 0).0, 100, "1 gave way");
    }

    #[test]
    fn the_error_tells_how_far_expectations_were_off_lately() {
        let mut estimates = Estimates::default();
        estimates.learn(1, (100, 100), (200, 0));
        assert_eq!(estimates.error_ratio(), Some(0.5));
        for _ in 0..1000 {
            estimates.learn(1, (100, 100), (200, 50));
        }
        assert!(estimates.error_ratio().unwrap() < 0.01);
    }

    /// Draws of ratios around a tenth, from thin to heavy tails.
    fn draw(random: &mut fastrand::Rng, tail: u8) -> f64 {
        let uniform = (1.0 - random.f64()).max(1e-12);
        match tail {
            // Exponential.
            0 => -0.1 * uniform.ln(),
            // Log-normal, by the sum of twelve uniform draws.
            1 => {
                let normal = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
                0.06 * normal.exp()
            }
            // Pareto, whose variance is not finite.
            2 => 0.03 * uniform.powf(-1.0 / 1.5),
            // Seven in eight stop early, the others use all that is allowed.
            _ => {
                if random.u8(..8) == 0 {
                    1.0
                } else {
                    0.02
                }
            }
        }
    }

    proptest! {
        #[test]
        fn heavy_tails_are_covered_without_reserving_the_sky(seed in any::<u64>(), tail in 0..4_u8) {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut estimates = Estimates::default();
            let (mut covered, mut reserved_sum, mut real_sum) = (0_u32, 0_u64, 0_u64);
            for sample in 0..2100 {
                let real = scaled(10_000, draw(&mut random, tail).min(10.0)).max(1);
                let (_, reserved) = estimates.reserve(1, 0, 10_000, None);
                if sample >= 100 {
                    covered += u32::from(reserved >= real);
                    reserved_sum += reserved;
                    real_sum += real;
                }
                estimates.learn(1, (0, 10_000), (0, real));
            }
            prop_assert!(covered >= 1600, "{covered} of 2000");
            prop_assert!(reserved_sum <= 3 * real_sum, "{reserved_sum} for {real_sum}");
        }
    }
}
