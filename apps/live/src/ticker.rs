//! The thread that drives the clock and the heartbeats.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::hub::Hub;

/// Starts it. It ends within a second after the hub has gone.
///
/// # Errors
/// If there is no thread to be had.
pub(crate) fn start(hub: &Arc<Hub>, heartbeat: Duration) -> io::Result<()> {
    let hub = Arc::downgrade(hub);
    let mut beat = Instant::now() + heartbeat;
    let run = move || {
        loop {
            thread::sleep(to_next_second().min(beat.saturating_duration_since(Instant::now())));
            let Some(hub) = hub.upgrade() else { return };
            hub.tick(crate::iso::now());
            if Instant::now() >= beat {
                beat = Instant::now() + heartbeat;
                hub.beat();
            }
        }
    };
    thread::Builder::new().name("live clock".to_owned()).spawn(run).map(drop)
}

/// A little past the next full second, so that it has begun for sure.
fn to_next_second() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_millis(1001) - Duration::from_millis(since.subsec_millis().into())
}
