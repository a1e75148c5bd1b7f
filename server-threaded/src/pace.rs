//! [`Pace`]: how slow a peer may be.

use std::time::Duration;

use crate::Config;

/// How long a peer may still take, given what it has done so far: no pause longer than a limit, and a minimum average
/// rate after a grace. Only time spent waiting for the peer counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pause: Duration,
    grace: Duration,
    rate: u64,
    bytes: u64,
    waited: Duration,
    paused: Duration,
}

impl Pace {
    pub(crate) fn of_reading(config: &Config) -> Self {
        Self::new(config.body_timeout, config)
    }

    pub(crate) fn of_writing(config: &Config, bytes: u64, waited: Duration, paused: Duration) -> Self {
        Self { bytes, waited, paused, ..Self::new(config.write_timeout, config) }
    }

    fn new(pause: Duration, config: &Config) -> Self {
        let (grace, rate) = (config.rate_grace, config.min_body_rate);
        Self { pause, grace, rate, bytes: 0, waited: Duration::ZERO, paused: Duration::ZERO }
    }

    /// How long to wait at most.
    pub(crate) fn left(&self) -> Duration {
        let pause = self.pause.saturating_sub(self.paused);
        if self.rate == 0 {
            return pause;
        }
        let earned = self.grace.saturating_add(Duration::from_millis(self.bytes.saturating_mul(1000) / self.rate));
        pause.min(earned.saturating_sub(self.waited))
    }

    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited += time;
        self.paused += time;
    }

    pub(crate) fn progress(&mut self, bytes: u64) {
        self.bytes += bytes;
        if bytes > 0 {
            self.paused = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_allows_pauses_and_refuses_drips() {
        let config = Config {
            body_timeout: Duration::from_secs(30),
            rate_grace: Duration::from_secs(10),
            min_body_rate: 500,
            ..Config::default()
        };
        let mut pace = Pace::of_reading(&config);
        assert_eq!(pace.left(), Duration::from_secs(10));
        pace.progress(50_000); // a hundred seconds' worth
        assert_eq!(pace.left(), Duration::from_secs(30));
        pace.waited(Duration::from_secs(29));
        assert_eq!(pace.left(), Duration::from_secs(1));
        pace.progress(1);
        assert_eq!(pace.left(), Duration::from_secs(30));
        for _ in 0..100 {
            pace.waited(Duration::from_secs(2));
            pace.progress(1); // one byte every two seconds
        }
        assert_eq!(pace.left(), Duration::ZERO);
    }
}
