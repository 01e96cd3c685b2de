//! Latency percentiles in a few hundred bytes a key.
//!
//! Buckets grow with the value (four to each doubling), so that a percentile is within an eighth
//! of the truth from one millisecond to hours. When the counts reach [`COUNTED_MAX`] all are
//! halved: the percentiles follow the last few thousand requests, not the key's whole life.

use std::time::Duration;

/// Buckets 0 to 3 hold 0 to 3 ms; then four for each doubling, up to 2²⁴ ms, about 4.6 hours.
const BUCKETS: usize = 4 + 4 * 22;
const COUNTED_MAX: u32 = 4096;

#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    counts: [u16; BUCKETS],
    total: u32,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            total: 0,
        }
    }
}

impl Latencies {
    pub(crate) fn record(&mut self, latency: Duration) {
        let millis = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        if self.total >= COUNTED_MAX {
            self.halve();
        }
        if let Some(count) = self.counts.get_mut(bucket_of(millis)) {
            *count += 1;
            self.total += 1;
        }
    }

    fn halve(&mut self) {
        for count in &mut self.counts {
            *count /= 2;
        }
        self.total = self.counts.iter().copied().map(u32::from).sum();
    }

    /// The latency that `percent` of the recent requests did not exceed.
    pub(crate) fn percentile(&self, percent: u32) -> Option<Duration> {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|&count| {
            seen += u32::from(count);
            seen >= rank
        })?;
        Some(Duration::from_micros(middle_micros(bucket)))
    }
}

fn bucket_of(millis: u64) -> usize {
    if millis < 4 {
        return usize::try_from(millis).unwrap_or(0);
    }
    let octave = millis.ilog2();
    let quarter = (millis >> (octave - 2)) & 3;
    let bucket = 4 + 4 * u64::from(octave - 2) + quarter;
    usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

fn middle_micros(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).unwrap_or(0);
    if bucket < 4 {
        return bucket * 1000 + 500;
    }
    let (octave, quarter) = ((bucket - 4) / 4, (bucket - 4) % 4);
    ((4 + quarter) * 1000 + 500) << octave
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_an_eighth() {
        for millis in [5, 17, 250, 999, 4_000, 61_000, 900_000] {
            let mut latencies = Latencies::default();
            latencies.record(Duration::from_millis(millis));
            let seen = latencies.percentile(50).unwrap().as_secs_f64() * 1000.0;
            let truth = f64::from(u32::try_from(millis).unwrap());
            assert!(
                (seen / truth - 1.0).abs() <= 0.125,
                "{millis} ms came back as {seen} ms"
            );
        }
        assert_eq!(Latencies::default().percentile(50), None);
    }

    #[test]
    fn the_tail_is_told_from_the_middle_and_old_requests_fade() {
        let mut latencies = Latencies::default();
        for _ in 0..98 {
            latencies.record(Duration::from_millis(100));
        }
        for _ in 0..2 {
            latencies.record(Duration::from_secs(10));
        }
        assert!(latencies.percentile(50).unwrap() < Duration::from_millis(120));
        assert!(latencies.percentile(99).unwrap() > Duration::from_secs(8));
        for _ in 0..100_000 {
            latencies.record(Duration::from_millis(500));
        }
        assert!(latencies.percentile(1).unwrap() > Duration::from_millis(400));
        latencies.record(Duration::MAX);
        assert!(latencies.total <= COUNTED_MAX);
    }
}
