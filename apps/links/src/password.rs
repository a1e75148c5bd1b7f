//! Passwords: how they are kept, compared, and not guessed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use framework_mini::Error;

/// In characters. What is shorter is guessed.
pub(crate) const MIN_PASSWORD: usize = 10;
/// In bytes. Nobody types more, and hashing takes time.
const MAX_PASSWORD: usize = 1024;

/// How many may wait for a password to be hashed: it takes some 20 ms and 19 MiB, and only one at a time is.
const MAX_WAITING: usize = 16;
/// So many failures are free; after that each doubles the time to wait.
const FREE_FAILURES: u32 = 5;
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// How many clients are remembered; with more, those who failed longest ago are forgiven.
const MAX_CLIENTS: usize = 1000;

/// The hash of no password: compared with when there is no such login, so that the time does not tell.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IG5vYm9keSE$7q3sKJbVYX0zTN9d5m7tQyA0oLzvVd0X0nqf2m9xw3U";

/// Says what is wrong with a new password.
pub(crate) fn check_new(password: &str) -> Result<(), String> {
    match password.chars().count() {
        0..MIN_PASSWORD => Err(format!("Use at least {MIN_PASSWORD} characters.")),
        _ if password.len() > MAX_PASSWORD => Err(format!("Use at most {MAX_PASSWORD} bytes.")),
        _ => Ok(()),
    }
}

/// Why a password was not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// This client has failed too often and has to wait for so long.
    TooManyFailures(Duration),
    /// Too many are waiting already.
    Busy,
}

/// Compares passwords, one at a time, and fewer and fewer for those who guess.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    one: Mutex<()>,
    waiting: Mutex<usize>,
    failures: Mutex<HashMap<String, Failures>>,
}

#[derive(Clone, Debug)]
struct Failures {
    count: u32,
    last: Instant,
    /// How many of them were at which login. Only of logins that exist: nobody else can succeed, and be forgiven these.
    at: HashMap<String, u32>,
}

impl Failures {
    /// When the next attempt is allowed.
    fn until(&self) -> Instant {
        let doublings = self.count.saturating_sub(FREE_FAILURES);
        let pause = match doublings {
            0 => Duration::ZERO,
            n => Duration::from_secs(1).saturating_mul(1 << (n - 1).min(16)).min(MAX_PAUSE),
        };
        self.last + pause
    }
}

impl Gate {
    /// Whether this is the password of a login, which has a name and a hash, or of nobody. `client` is the address that
    /// asks.
    pub(crate) fn matches(&self, client: &str, password: &str, login: Option<(&str, &str)>) -> Result<bool, Refused> {
        let (name, hash) = login.unzip();
        self.matches_at(client, name, Instant::now, || {
            // The comparison is made in any case; only its result is not looked at.
            password.len() <= MAX_PASSWORD && verify(password, hash.unwrap_or(NOBODY)) && hash.is_some()
        })
    }

    fn matches_at(
        &self,
        client: &str,
        login: Option<&str>,
        now: impl Fn() -> Instant,
        verify: impl FnOnce() -> bool,
    ) -> Result<bool, Refused> {
        let key = network(client);
        // Who has to wait takes no place in the queue.
        self.allows(&key, now())?;
        let _place = Place::take(&self.waiting).ok_or(Refused::Busy)?;
        let _turn = lock(&self.one);
        // Those before in the queue may have been of the same client: guesses that were sent side by side are as many.
        let now = now();
        self.allows(&key, now)?;
        let matches = verify();
        let mut failures = lock(&self.failures);
        if matches {
            // What was tried at other logins is not forgiven: else who has one could guess theirs without a pause.
            if let Some(entry) = failures.get_mut(&key) {
                let own = login.and_then(|login| entry.at.remove(login));
                entry.count = entry.count.saturating_sub(own.unwrap_or(0));
                if entry.count == 0 {
                    failures.remove(&key);
                }
            }
            return Ok(true);
        }
        if failures.len() >= MAX_CLIENTS && !failures.contains_key(&key) {
            let oldest = failures.iter().min_by_key(|(_, failures)| failures.last).map(|(key, _)| key.clone());
            oldest.map(|oldest| failures.remove(&oldest));
        }
        let anew = || Failures { count: 0, last: now, at: HashMap::new() };
        let entry = failures.entry(key).or_insert_with(anew);
        // A quarter of an hour without an attempt is a new beginning.
        if now.saturating_duration_since(entry.last) > 15 * MAX_PAUSE {
            *entry = anew();
        }
        entry.count = entry.count.saturating_add(1);
        entry.last = now;
        if let Some(login) = login {
            *entry.at.entry(login.to_owned()).or_default() += 1;
        }
        Ok(false)
    }

    /// Whether a client may try now.
    fn allows(&self, key: &str, now: Instant) -> Result<(), Refused> {
        let until = lock(&self.failures).get(key).map(Failures::until);
        match until.and_then(|until| until.checked_duration_since(now)).filter(|pause| !pause.is_zero()) {
            Some(pause) => Err(Refused::TooManyFailures(pause)),
            None => Ok(()),
        }
    }

    /// Hashes a new password, in turn with those that are compared.
    pub(crate) fn hash(&self, password: &str) -> Result<String, Error> {
        let _turn = lock(&self.one);
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)?;
        let hash: Result<PasswordHash, _> = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
        // Its error is no `std::error::Error` without a feature that nothing else needs.
        hash.map(|hash| hash.to_string()).map_err(|error| Error::internal(error.to_string()))
    }
}

fn verify(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is behind the locks is right after each statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The part of an address that somebody has for themselves: of IPv6, 64 bits.
fn network(address: &str) -> String {
    match address.parse() {
        Ok(std::net::IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => format!("{:x?}", &v6.segments()[..4]),
        _ => address.to_owned(),
    }
}

/// A place in the queue, given back when it is dropped.
struct Place<'q>(&'q Mutex<usize>);

impl<'q> Place<'q> {
    fn take(waiting: &'q Mutex<usize>) -> Option<Self> {
        let mut count = lock(waiting);
        (*count < MAX_WAITING).then(|| {
            *count += 1;
            Self(waiting)
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *lock(self.0) -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Option<&str> = Some("ada");

    #[test]
    fn passwords_match_their_hash_only() {
        let gate = Gate::default();
        let hash = gate.hash("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && hash != gate.hash("correct horse").unwrap());
        assert_eq!(gate.matches("a", "correct horse", Some(("ada", &hash))), Ok(true));
        assert_eq!(gate.matches("a", "correct horsf", Some(("ada", &hash))), Ok(false));
        assert_eq!(gate.matches("a", "correct horse", None), Ok(false));
        assert_eq!(gate.matches("a", &"x".repeat(MAX_PASSWORD + 1), Some(("ada", &hash))), Ok(false));
        assert_eq!(gate.matches("a", "correct horse", Some(("ada", "nonsense"))), Ok(false));
        assert!(PasswordHash::new(NOBODY).is_ok(), "else the time would tell that there is no such login");
        assert!(check_new("123456789").is_err() && check_new("1234567890").is_ok());
        assert!(check_new(&"x".repeat(MAX_PASSWORD + 1)).is_err());
    }

    #[test]
    fn who_guesses_waits_longer_and_longer() {
        let gate = Gate::default();
        let mut now = Instant::now();
        let second = Duration::from_secs(1);
        for _ in 0..FREE_FAILURES {
            assert_eq!(gate.matches_at("a", ADA, || now, || false), Ok(false));
        }
        assert_eq!(gate.matches_at("a", ADA, || now, || false), Ok(false));
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            let refused = gate.matches_at("a", ADA, || now, || unreachable!("it is not even compared"));
            assert_eq!(refused, Err(Refused::TooManyFailures(pause * second)));
            now += pause * second;
            assert_eq!(gate.matches_at("a", ADA, || now, || false), Ok(false));
        }
        assert_eq!(gate.matches_at("b", ADA, || now, || true), Ok(true), "others do not wait");
        now += 60 * second;
        assert_eq!(gate.matches_at("a", ADA, || now, || true), Ok(true));
        assert_eq!(gate.matches_at("a", ADA, || now, || false), Ok(false));
        assert_eq!(gate.matches_at("a", ADA, || now, || true), Ok(true), "success begins anew");
    }

    /// Whoever has a login cannot use it to guess those of others without a pause.
    #[test]
    fn a_success_forgives_the_failures_at_its_own_login() {
        let gate = Gate::default();
        let now = Instant::now();
        let attempt = |login, matches| gate.matches_at("a", login, || now, || matches);
        for login in [ADA, ADA, ADA, None, Some("bob")] {
            assert_eq!(attempt(login, false), Ok(false));
        }
        assert_eq!(attempt(Some("bob"), true), Ok(true));
        assert_eq!(lock(&gate.failures)["a"].count, 4);
        assert_eq!(attempt(Some("eve"), true), Ok(true));
        assert_eq!(lock(&gate.failures)["a"].count, 4);
        assert_eq!(attempt(ADA, true), Ok(true));
        assert_eq!(lock(&gate.failures)["a"].count, 1, "that of nobody");
    }

    /// Guesses that wait in the queue wait for their pause too, though there was none when they came.
    #[test]
    fn no_pause_is_passed_side_by_side() {
        let gate = Gate::default();
        let now = Instant::now();
        for _ in 0..FREE_FAILURES {
            assert_eq!(gate.matches_at("a", ADA, || now, || false), Ok(false));
        }
        let turn = lock(&gate.one);
        let results: Vec<_> = std::thread::scope(|scope| {
            let guess = || gate.matches_at("a", ADA, || now, || false);
            let guesses: Vec<_> = (0..3).map(|_| scope.spawn(guess)).collect();
            while *lock(&gate.waiting) < 3 {
                std::thread::yield_now();
            }
            drop(turn);
            guesses.into_iter().map(|guess| guess.join().unwrap()).collect()
        });
        assert_eq!(results.iter().filter(|result| **result == Ok(false)).count(), 1, "{results:?}");
    }

    #[test]
    fn memory_is_bounded_and_a_network_counts_as_one() {
        let gate = Gate::default();
        let now = Instant::now();
        for client in 0..MAX_CLIENTS + 10 {
            let later = now + Duration::from_millis(client as u64);
            assert_eq!(gate.matches_at(&client.to_string(), ADA, || later, || false), Ok(false));
        }
        assert_eq!(lock(&gate.failures).len(), MAX_CLIENTS);
        assert!(!lock(&gate.failures).contains_key("9") && lock(&gate.failures).contains_key("10"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("::ffff:192.0.2.1"), network("::ffff:192.0.2.2"));
    }

    #[test]
    fn the_queue_is_bounded() {
        let gate = Gate::default();
        let held: Vec<_> = (0..MAX_WAITING).map(|_| Place::take(&gate.waiting).unwrap()).collect();
        assert_eq!(gate.matches_at("a", ADA, Instant::now, || true), Err(Refused::Busy));
        drop(held);
        assert_eq!(gate.matches_at("a", ADA, Instant::now, || true), Ok(true));
    }
}
