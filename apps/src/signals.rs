//! SIGTERM and SIGINT: the first finishes what is in flight, the second stops now.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How long a server may take to stop now. An application that does not return would hold it for ever.
const PATIENCE: Duration = Duration::from_secs(1);

/// The exit code when what was in flight has been cut.
pub(crate) const CUT: u8 = 1;

/// Watches for signals from now on. What is returned tells later whether a second one came.
///
/// # Errors
/// If the system refuses.
pub(crate) fn watch(
    shutdown: impl FnOnce() + Send + 'static,
    stop: impl FnOnce() + Send + 'static,
) -> io::Result<Arc<AtomicBool>> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let stopped = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stopped);
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut arriving = signals.forever();
        arriving.next();
        shutdown();
        tell("finishing what is in flight; the same signal again stops now");
        arriving.next();
        told.store(true, Ordering::SeqCst);
        stop();
        tell("stopping now");
        thread::sleep(PATIENCE);
        process::exit(CUT.into());
    })?;
    Ok(stopped)
}

/// Says it without waiting for who reads standard error, as that may be nobody any more.
fn tell(text: &'static str) {
    // Without a thread for it, to act is more important.
    let _ = thread::Builder::new().spawn(move || crate::say(text));
}
