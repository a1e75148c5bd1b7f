//! What the rounds found, and the ratios between servers.

use conformance::load::{Histogram, Scenario};

use crate::serve::{Kind, Server};
use crate::table::Spread;

/// What ratios compare with first, when they take part.
pub(crate) const LIMITS: [&str; 2] = ["limit-epoll", "limit-threaded"];

/// One server in one round of one scenario.
pub(crate) struct Sample {
    /// Requests per second.
    pub(crate) rate: f64,
    /// Processor time of the server per request, in nanoseconds.
    pub(crate) cpu: f64,
    /// Latencies of all requests, or of the fast ones of a mix.
    pub(crate) fast: Histogram,
    /// Those of the slow ones of a mix.
    pub(crate) slow: Histogram,
    /// Peak resident memory, KiB; unknown of a program that is several processes.
    pub(crate) peak: Option<u64>,
}

/// The rounds of one server; a failed round, and one that was left out after failures, is `None`.
pub(crate) struct Row {
    /// Whose.
    pub(crate) server: &'static Server,
    /// The rounds in their order.
    pub(crate) samples: Vec<Option<Sample>>,
    /// Why rounds failed.
    pub(crate) failures: Vec<String>,
}

/// A scenario with everybody's rounds.
pub(crate) struct Outcome {
    /// Which.
    pub(crate) scenario: Scenario,
    /// One row for each server that takes part.
    pub(crate) rows: Vec<Row>,
}

impl Outcome {
    /// The rounds of a server by its name.
    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.server.name == name)
    }

    /// The bare loops that took part.
    pub(crate) fn limits(&self) -> Vec<&Row> {
        LIMITS.iter().filter_map(|name| self.row(name)).collect()
    }
}

impl Row {
    /// A figure over all rounds; `None` if none succeeded.
    pub(crate) fn spread(&self, figure: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.samples.iter().flatten().map(figure))
    }

    /// The figure of this server against that of `other` in the same round.
    fn ratio(&self, other: &Self, ratio: impl Fn(&Sample, &Sample) -> f64) -> Option<Spread> {
        let pairs = self.samples.iter().zip(&other.samples);
        Spread::of(pairs.filter_map(|(mine, theirs)| Some(ratio(mine.as_ref()?, theirs.as_ref()?))))
    }

    /// The processor time of another against that of this server: above 1, this one needs less.
    pub(crate) fn cpu_against(&self, other: &Self) -> Option<Spread> {
        self.ratio(other, |mine, other| other.cpu / mine.cpu)
    }

    /// The rate of this server against that of another: above 1, this one answers more.
    pub(crate) fn rate_against(&self, other: &Self) -> Option<Spread> {
        self.ratio(other, |mine, other| mine.rate / other.rate)
    }

    /// Latencies of all rounds together.
    pub(crate) fn latencies(&self, part: impl Fn(&Sample) -> &Histogram) -> Histogram {
        let mut all = Histogram::default();
        self.samples.iter().flatten().for_each(|sample| all.merge(part(sample)));
        all
    }

    /// Whether it is one of ours.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.server.kind, Kind::Gateway | Kind::Framework)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::serve;

    /// A row of a server with these rounds: rate and processor time, or nothing where it failed.
    pub(crate) fn row(server: &str, rounds: &[Option<(f64, f64)>]) -> Row {
        let sample =
            |(rate, cpu)| Sample { rate, cpu, fast: Histogram::default(), slow: Histogram::default(), peak: None };
        let samples = rounds.iter().map(|round| round.map(sample)).collect();
        Row { server: serve::named(server).expect("a server"), samples, failures: Vec::new() }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine is half as fast in the second round, and the third failed for one of them.
        let mine = row("server-mio", &[Some((100.0, 10.0)), Some((50.0, 20.0)), None]);
        let other = row("limit-epoll", &[Some((200.0, 5.0)), Some((100.0, 10.0)), Some((1.0, 1.0))]);
        let half = Some(Spread { median: 0.5, least: 0.5, greatest: 0.5 });
        assert_eq!((mine.cpu_against(&other), mine.rate_against(&other)), (half, half));
        let never = row("server-threaded", &[None, None, None]);
        assert_eq!(never.cpu_against(&other), None);
    }
}
