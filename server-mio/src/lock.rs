//! [`lock`]: for locks that are taken for each request.
//!
//! They are given back by a store. A lock of the standard library takes a locked instruction for that as well, which waits
//! until all that was written before is out of the processor's hands. Nobody has one for long: what is done with it never waits.

use std::thread;
use std::time::Duration;

/// Takes a lock, nearly always at once.
#[inline]
pub(crate) fn lock<T>(mutex: &spin::Mutex<T>) -> spin::MutexGuard<'_, T> {
    mutex.try_lock().unwrap_or_else(|| wait(mutex))
}

#[cold]
fn wait<T>(mutex: &spin::Mutex<T>) -> spin::MutexGuard<'_, T> {
    loop {
        // Lets any thread run, whatever its priority.
        thread::sleep(Duration::from_micros(10));
        if let Some(guard) = mutex.try_lock() {
            return guard;
        }
    }
}
