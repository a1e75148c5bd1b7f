//! Counting visits, so that nobody waits for anybody else's.

use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use framework_mini::Error;

/// Visits by the id of their link.
pub(crate) type Counts = BTreeMap<i64, u64>;

/// Visits on their way to the database.
///
/// Those that come while some are written wait for them, and are then written together: a crowd costs a few transactions.
/// While the database cannot be written, each waits for one attempt, at most two, however many there are; what was not
/// written stays here and is, with the next visit.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    /// At most one entry for each link.
    waiting: Mutex<Counts>,
    writing: Mutex<()>,
    failures: AtomicU64,
}

impl Visits {
    /// Counts a visit by `write`, which is given all that wait.
    ///
    /// # Errors
    /// That of `write`. The visit is not lost.
    pub(crate) fn count(&self, id: i64, write: impl FnOnce(&Counts) -> Result<(), Error>) -> Result<(), Error> {
        let before = self.failures.load(SeqCst);
        self.add(Counts::from([(id, 1)]));
        let _turn = lock(&self.writing);
        if self.failures.load(SeqCst) != before {
            // Somebody has tried meanwhile; to try again would take as long, for each who waits.
            return Ok(());
        }
        let counts = mem::take(&mut *lock(&self.waiting));
        if counts.is_empty() {
            return Ok(()); // written with those of somebody else
        }
        write(&counts).inspect_err(|_| {
            self.failures.fetch_add(1, SeqCst);
            self.add(counts);
        })
    }

    fn add(&self, counts: Counts) {
        let mut waiting = lock(&self.waiting);
        counts.into_iter().for_each(|(id, count)| *waiting.entry(id).or_default() += count);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while writing loses what was to be written, and leaves the rest as it is.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_crowd_is_written_together_and_every_visit_once() {
        let visits = Visits::default();
        let written = Mutex::new((0, Counts::new()));
        let write = |counts: &Counts| {
            thread::sleep(Duration::from_millis(5));
            let mut written = lock(&written);
            written.0 += 1;
            counts.iter().for_each(|(id, count)| *written.1.entry(*id).or_default() += count);
            Ok(())
        };
        thread::scope(|scope| {
            for n in 0..200 {
                let (visits, write) = (&visits, &write);
                scope.spawn(move || visits.count(n % 3, write).unwrap());
            }
        });
        let written = lock(&written);
        assert_eq!(written.1, Counts::from([(0, 67), (1, 67), (2, 66)]));
        assert!((1..=200).contains(&written.0), "a transaction for each visit at most: {}", written.0);
    }

    #[test]
    fn what_was_not_written_is_written_later_and_whoever_waits_does_not_try_again() {
        let visits = Visits::default();
        let (begun, has_begun) = channel();
        let (go_on, may_go_on) = channel::<()>();
        let visits = &visits;
        thread::scope(|scope| {
            let first = scope.spawn(move || {
                visits.count(1, |_| {
                    begun.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    Err(Error::internal("locked"))
                })
            });
            has_begun.recv().unwrap();
            let others: Vec<_> =
                (0..20).map(|_| scope.spawn(|| visits.count(2, |_| unreachable!("one has tried")))).collect();
            let deadline = Instant::now() + Duration::from_secs(30);
            while lock(&visits.waiting).get(&2) != Some(&20) {
                assert!(Instant::now() < deadline, "they are not even noted");
                thread::yield_now();
            }
            go_on.send(()).unwrap();
            assert!(first.join().unwrap().is_err());
            others.into_iter().for_each(|other| assert!(other.join().unwrap().is_ok()));
        });
        let expect = |expected: Counts| {
            move |counts: &Counts| {
                assert_eq!(counts, &expected);
                Ok(())
            }
        };
        visits.count(1, expect(Counts::from([(1, 2), (2, 20)]))).unwrap();
        visits.count(3, expect(Counts::from([(3, 1)]))).unwrap();
    }
}
