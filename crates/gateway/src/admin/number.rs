//! Numbers as the API shows them: whole ones without a decimal point, others with as few decimals
//! as are said.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// A number for people.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, ToSchema)]
#[schema(value_type = f64)]
pub(super) struct Number(f64);

impl Number {
    /// Rounds to `decimals`.
    pub(super) fn rounded(value: f64, decimals: i32) -> Self {
        let scale = 10_f64.powi(decimals);
        Self((value * scale).round() / scale)
    }

    fn tenths(tenths: u64) -> Self {
        Self::rounded(ratio(tenths, 10), 1)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Beyond it a double no longer tells neighbouring whole numbers apart.
        const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;
        if self.0.fract() == 0.0 && self.0.abs() < LARGEST_WHOLE {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within range")]
            return serializer.serialize_i64(self.0 as i64);
        }
        serializer.serialize_f64(self.0)
    }
}

/// One number divided by another.
#[expect(
    clippy::cast_precision_loss,
    reason = "shown to people with a few decimals"
)]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// Each part's share of all, in percent with one decimal, such that the shares add up to 100
/// (method of largest remainders); all 0 when there is nothing to share.
///
/// Three equal parts become 33.4, 33.3 and 33.3, where rounding each would lose a tenth.
pub(super) fn shares(parts: &[u64]) -> Vec<Number> {
    const WHOLE: u128 = 1000;
    let total: u128 = parts.iter().copied().map(u128::from).sum();
    if total == 0 {
        return vec![Number(0.0); parts.len()];
    }
    let scaled = |part: &u64| u128::from(*part) * WHOLE;
    let mut tenths: Vec<u128> = parts.iter().map(|part| scaled(part) / total).collect();
    let missing = WHOLE - tenths.iter().sum::<u128>();
    let mut by_remainder: Vec<(u128, &mut u128)> = parts
        .iter()
        .map(|part| scaled(part) % total)
        .zip(&mut tenths)
        .collect();
    // A stable sort: of equal remainders the first in order is rounded up.
    by_remainder.sort_by_key(|(remainder, _)| std::cmp::Reverse(*remainder));
    for (_, tenth) in by_remainder
        .into_iter()
        .take(usize::try_from(missing).unwrap_or(0))
    {
        *tenth += 1;
    }
    tenths
        .into_iter()
        .map(|tenth| Number::tenths(u64::try_from(tenth).unwrap_or(0)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(parts: &[u64]) -> String {
        serde_json::to_string(&shares(parts)).unwrap()
    }

    #[test]
    fn shares_add_up_to_a_hundred_however_they_fall() {
        // acceptance 27
        assert_eq!(shown(&[1, 1, 1]), "[33.4,33.3,33.3]");
        assert_eq!(shown(&[687, 580, 256]), "[45.1,38.1,16.8]");
        assert_eq!(shown(&[0, 5]), "[0,100]");
        assert_eq!(shown(&[u64::MAX, u64::MAX]), "[50,50]");
        for parts in 1..200_u64 {
            let parts: Vec<u64> = (0..parts).map(|part| part * part % 17 + 1).collect();
            let tenths: f64 = shares(&parts)
                .iter()
                .map(|share| (share.0 * 10.0).round())
                .sum();
            assert!((tenths - 1000.0).abs() < 1e-9, "{parts:?}");
        }
    }

    #[test]
    fn without_traffic_every_share_is_nothing() {
        assert_eq!(shown(&[0, 0]), "[0,0]");
        assert_eq!(shown(&[]), "[]");
    }

    #[test]
    fn whole_numbers_have_no_decimal_point() {
        let shown =
            |value, decimals| serde_json::to_string(&Number::rounded(value, decimals)).unwrap();
        assert_eq!(shown(95.0, 1), "95");
        assert_eq!(shown(92.5, 1), "92.5");
        assert_eq!(shown(92.46, 1), "92.5");
        assert_eq!(shown(0.123_456, 4), "0.1235");
    }
}
