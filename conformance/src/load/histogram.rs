//! Latencies in buckets whose width grows with the value.

use std::time::Duration;

/// Each power of two is divided into this many buckets: values are known to within 1/64, 1.6 %.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Buckets for every `u64`: the exact ones below `STEPS`, then `STEPS` for each further bit.
const BUCKETS: usize = ((64 - STEP_BITS as usize) + 1) * STEPS as usize;

/// A histogram of durations, in nanoseconds, that never allocates after it was made.
#[derive(Clone)]
pub struct Histogram {
    buckets: Box<[u64]>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS].into_boxed_slice(), count: 0, max: 0 }
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count)
            .field("p50", &self.percentile(50.0))
            .field("p99", &self.percentile(99.0))
            .field("max", &self.max())
            .finish()
    }
}

impl Histogram {
    /// Counts one duration. Those beyond 584 years are counted as that.
    pub fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest duration, exactly.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The duration that `percent` per cent of all stay at or below, rounded up to its bucket's
    /// end; zero when nothing was counted.
    pub fn percentile(&self, percent: f64) -> Duration {
        let rank = ((percent / 100.0 * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(last_of(index).min(self.max));
            }
        }
        Duration::ZERO
    }

    /// Adds everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }
}

/// The bucket of a value: its leading `STEP_BITS + 1` bits decide.
fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = value.ilog2() - STEP_BITS;
    let step = (value >> shift) - STEPS;
    ((u64::from(shift) + 1) * STEPS + step) as usize
}

/// The largest value that falls into a bucket.
fn last_of(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let shift = index / STEPS - 1;
    let first = (STEPS + index % STEPS) << shift;
    first + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_is_in_its_bucket_and_within_a_64th_of_its_end(value: u64) {
            let index = bucket(value);
            prop_assert!(index < BUCKETS);
            let last = last_of(index);
            prop_assert!(last >= value);
            prop_assert!(last - value <= value / STEPS);
            prop_assert!(index == 0 || last_of(index - 1) < value);
        }

        #[test]
        fn percentiles_agree_with_a_sorted_list(
            mut values in prop::collection::vec(0u64..10_000_000_000, 1..200),
            percent in 0.0f64..=100.0,
        ) {
            let mut histogram = Histogram::default();
            for &value in &values {
                histogram.record(Duration::from_nanos(value));
            }
            values.sort_unstable();
            let rank = ((percent / 100.0 * values.len() as f64).ceil() as usize).max(1);
            let exact = values[rank - 1];
            let told = histogram.percentile(percent).as_nanos() as u64;
            prop_assert!(told >= exact && told - exact <= exact / STEPS, "{} for {}", told, exact);
            prop_assert_eq!(histogram.max().as_nanos() as u64, *values.last().unwrap());
        }
    }

    #[test]
    fn merging_adds_counts_and_nothing_is_zero() {
        let mut one = Histogram::default();
        assert_eq!(one.percentile(99.0), Duration::ZERO);
        let mut two = Histogram::default();
        one.record(Duration::from_millis(1));
        two.record(Duration::from_millis(9));
        one.merge(&two);
        assert_eq!(one.count(), 2);
        assert_eq!(one.max(), Duration::from_millis(9));
        assert!(one.percentile(50.0) < Duration::from_millis(2));
    }
}
