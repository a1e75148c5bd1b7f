//! [`Pool`]: a few connections for many requests.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Error;

/// Up to a number of values that are made when they are needed, lent out, and used again.
///
/// ```
/// use framework_mini::Pool;
///
/// let pool = Pool::new(2, || Ok(String::from("a connection")));
/// let one = pool.get()?;
/// let two = pool.get()?;
/// drop(one);
/// assert_eq!(pool.get()?.as_str(), "a connection"); // the first once more
/// # Ok::<(), framework_mini::Error>(())
/// ```
pub struct Pool<T>(Arc<Shared<T>>);

type Make<T> = Box<dyn Fn() -> Result<T, Error> + Send + Sync>;

struct Shared<T> {
    make: Make<T>,
    state: Mutex<State<T>>,
    returned: Condvar,
    size: usize,
    patience: Duration,
}

struct State<T> {
    idle: Vec<T>,
    /// How many there are, idle or lent.
    made: usize,
}

impl<T> Pool<T> {
    /// A pool of at most `size` values, at least one, that waits for up to 5 seconds.
    pub fn new(size: usize, make: impl Fn() -> Result<T, Error> + Send + Sync + 'static) -> Self {
        Self::with_patience(size, Duration::from_secs(5), make)
    }

    /// A pool that waits for up to another time.
    pub fn with_patience(
        size: usize,
        patience: Duration,
        make: impl Fn() -> Result<T, Error> + Send + Sync + 'static,
    ) -> Self {
        let state = Mutex::new(State { idle: Vec::new(), made: 0 });
        Self(Arc::new(Shared { make: Box::new(make), state, returned: Condvar::new(), size: size.max(1), patience }))
    }

    /// Lends a value: an idle one, else a new one, else the next that comes back.
    ///
    /// # Errors
    /// 503 if none comes back in time; that of making one.
    pub fn get(&self) -> Result<Pooled<T>, Error> {
        self.get_by(after(self.0.patience))
    }

    /// Lends a value as [`get`](Self::get), and waits until then.
    pub(crate) fn get_by(&self, deadline: Instant) -> Result<Pooled<T>, Error> {
        let shared = &self.0;
        let mut state = shared.lock();
        loop {
            if let Some(value) = state.idle.pop() {
                return Ok(Pooled { value: Some(value), shared: Arc::clone(shared) });
            }
            if state.made < shared.size {
                state.made += 1;
                drop(state);
                // A place that is given back when making fails or panics.
                let mut place = Pooled { value: None, shared: Arc::clone(shared) };
                place.value = Some((shared.make)()?);
                return Ok(place);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let error = Error::new(gateway_spec::Status::SERVICE_UNAVAILABLE, "The server is busy.");
                return Err(error
                    .with_header("Retry-After", "1")
                    .because("no connection of the pool came back in time"));
            }
            state = shared.returned.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// So long from now, and at most 24 days: whoever means for ever says [`Duration::MAX`], which no clock goes to, and
/// SQLite counts milliseconds in 31 bits.
pub(crate) fn after(patience: Duration) -> Instant {
    Instant::now() + patience.min(Duration::from_secs(24 * 24 * 60 * 60))
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that can panic is done under the lock, and a panic elsewhere is no reason to stop lending.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("Pool")
            .field("made", &state.made)
            .field("idle", &state.idle.len())
            .field("size", &self.0.size)
            .finish()
    }
}

/// A value of a [`Pool`], lent until it is dropped. One that is dropped by a panic is not lent again.
pub struct Pooled<T> {
    value: Option<T>,
    shared: Arc<Shared<T>>,
}

impl<T> Deref for Pooled<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // `get` returns it only with a value, and only `drop` takes it.
        self.value.as_ref().expect("a lent value is there until it is dropped")
    }
}

impl<T> DerefMut for Pooled<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("a lent value is there until it is dropped")
    }
}

impl<T> Drop for Pooled<T> {
    fn drop(&mut self) {
        let value = self.value.take().filter(|_| !std::thread::panicking());
        let mut state = self.shared.lock();
        match value {
            Some(value) => state.idle.push(value),
            None => state.made -= 1,
        }
        drop(state);
        self.shared.returned.notify_one();
    }
}

impl<T: fmt::Debug> fmt::Debug for Pooled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn values_are_used_again_and_never_more_than_the_size() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let pool = Pool::new(3, move || Ok(count.fetch_add(1, Ordering::Relaxed)));
        let out = Arc::new(AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let value = pool.get().unwrap();
                        assert!(out.fetch_add(1, Ordering::SeqCst) < 3 && *value < 3);
                        thread::yield_now();
                        out.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(made.load(Ordering::Relaxed) <= 3);
    }

    #[test]
    fn who_waits_too_long_is_told() {
        let pool = Pool::with_patience(1, Duration::from_millis(10), || Ok(()));
        let held = pool.get().unwrap();
        let error = pool.get().unwrap_err();
        assert_eq!((error.status().code(), error.headers().next()), (503, Some(("Retry-After", "1"))));
        drop(held);
        assert!(pool.get().is_ok());
    }

    #[test]
    fn patience_may_be_endless() {
        let pool = Pool::with_patience(1, Duration::MAX, || Ok(()));
        assert!(pool.get().is_ok());
    }

    #[test]
    fn failures_and_panics_give_the_place_back() {
        let tries = AtomicUsize::new(0);
        let pool =
            Pool::with_patience(1, Duration::from_millis(10), move || match tries.fetch_add(1, Ordering::Relaxed) {
                0 => Err(Error::internal("not yet")),
                1 => panic!("while making"),
                made => Ok(made),
            });
        assert_eq!(pool.get().unwrap_err().status().code(), 500);
        let other = pool.clone();
        assert!(thread::spawn(move || drop(other.get())).join().is_err());
        let other = pool.clone();
        let holder = thread::spawn(move || {
            let _held = other.get();
            panic!("while holding");
        });
        assert!(holder.join().is_err());
        // The value that was held when its thread panicked is not lent again.
        assert_eq!(*pool.get().unwrap(), 3);
    }
}
