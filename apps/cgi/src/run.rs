//! [`Run`]: a script that runs, as seen from the request that waits for it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use framework_mini::{Error, Status};
use gateway_spec::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::log::Log;
use crate::minder::{Ending, Minder, Shared};
use crate::script::Script;
use crate::{Config, Failure, MAX_HEAD, Place, head};

/// How much is read at a time.
const BLOCK: usize = 64 * 1024;

/// How often a request that waits for a header looks whether its client is still there.
const TICK: Duration = Duration::from_millis(100);

/// A script that runs. It is terminated when this is dropped, unless it was [finished](Self::finish) or
/// [released](Self::release).
///
/// Its process and its standard error belong to a thread, the [`Minder`], which keeps the time and reaps it. The two share a
/// pipe: that this end of it closes is how the minder learns that nobody reads any more.
pub(crate) struct Run {
    stdout: Arc<OwnedFd>,
    shared: Arc<Shared>,
    leash: UnixStream,
    minder: Option<JoinHandle<()>>,
    ending: Ending,
}

/// What a read comes to.
pub(crate) enum Output {
    Block(Bytes),
    /// Nothing yet.
    Nothing,
    End,
    /// Time is up, and the script was ended for it.
    Expired,
}

impl Run {
    /// Starts a script, which lives until `end` at most.
    ///
    /// # Errors
    /// If it cannot be started: its interpreter does not exist, it is no program, the system has no process left.
    pub(crate) fn start(
        config: &Config,
        script: &Script,
        variables: BTreeMap<OsString, OsString>,
        stdin: Option<File>,
        end: Option<Instant>,
        place: Place,
        log: Log,
    ) -> io::Result<Self> {
        // All that can fail comes before the process, so that none is left alone.
        let (leash, held) = UnixStream::pair()?;
        let (stdout, its_stdout) = io::pipe()?;
        let (stderr, its_stderr) = io::pipe()?;
        for end in [stdout.as_fd(), stderr.as_fd(), held.as_fd(), leash.as_fd()] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        let (hand_over, taken) = mpsc::channel::<Minder>();
        let mind = move || taken.recv().map(Minder::mind).unwrap_or_default();
        let minder = thread::Builder::new().name("cgi".to_owned()).spawn(mind)?;

        let mut command = Command::new(&script.file);
        command.env_clear().envs(variables).process_group(0);
        command.stdin(stdin.map_or_else(Stdio::null, Stdio::from)).stdout(its_stdout).stderr(its_stderr);
        if let Some(folder) = script.file.parent() {
            command.current_dir(folder);
        }
        let child = command.spawn()?;
        drop(command); // and with it our copies of its ends

        let (stdout, stderr) = (Arc::new(OwnedFd::from(stdout)), OwnedFd::from(stderr));
        let shared = Arc::new(Shared::new());
        let of_child =
            Minder::new(config, child, Arc::clone(&stdout), stderr, held, Arc::clone(&shared), end, place, log);
        let _ = hand_over.send(of_child); // it waits for nothing else
        Ok(Self { stdout, shared, leash, minder: Some(minder), ending: Ending::Abort })
    }

    /// Reads what is there.
    pub(crate) fn read(&mut self) -> io::Result<Output> {
        let mut block = vec![0; BLOCK];
        loop {
            return match rustix::io::read(&*self.stdout, &mut block) {
                // Killed for its time, it closes its pipes as if it had ended.
                _ if self.shared.has_expired() => Ok(Output::Expired),
                Ok(0) => {
                    self.ending = Ending::Finish;
                    Ok(Output::End)
                }
                Ok(n) if n < BLOCK / 4 => Ok(Output::Block(Bytes::copy_from_slice(&block[..n]))),
                Ok(n) => {
                    block.truncate(n);
                    Ok(Output::Block(block.into()))
                }
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => {
                    if self.shared.want() {
                        // A full pipe has woken it already.
                        let _ = (&self.leash).write(b"?");
                    }
                    Ok(Output::Nothing)
                }
                Err(errno) => Err(errno.into()),
            };
        }
    }

    /// Wakes this once there is something to read.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.shared.set_waker(waker);
    }

    /// Reads the header with its empty line, and what came with it of the rest.
    ///
    /// # Errors
    /// 502 if there is no end to it, 504 if it does not come in time.
    pub(crate) fn read_head(&mut self, client_gone: impl Fn() -> bool) -> Result<(Vec<u8>, Bytes), Failure> {
        let broken = |why: &str| Error::new(Status::BAD_GATEWAY, "The script gave no proper answer.").because(why);
        let mut octets = Vec::new();
        loop {
            match self.read().map_err(Error::internal)? {
                Output::Block(block) => {
                    octets.extend_from_slice(&block);
                    let end = head::end(&octets[..octets.len().min(MAX_HEAD)]);
                    if let Some(end) = end {
                        let rest = octets.split_off(end);
                        return Ok((octets, rest.into()));
                    }
                    if octets.len() >= MAX_HEAD {
                        return Err(broken("its header is longer than 64 KiB").into());
                    }
                }
                Output::Nothing if client_gone() => {
                    // An error would be a line in the log, and that is no news (GW-REF-01). Nobody will read this; nginx
                    // writes the same status into its log.
                    let status = Status::new(499, "Client Closed Request").unwrap_or(Status::REQUEST_TIMEOUT);
                    return Err(Error::new(status, "The client has gone.").into());
                }
                Output::Nothing => {
                    let tick = Timespec::try_from(TICK).ok();
                    let _ = poll(&mut [PollFd::new(&*self.stdout, PollFlags::IN)], tick.as_ref());
                }
                Output::End => return Err(broken("its output ended before its header").into()),
                Output::Expired => {
                    let error = Error::new(Status::GATEWAY_TIMEOUT, "The script did not answer in time.");
                    return Err(error.because("it was ended").into());
                }
            }
        }
    }

    /// Whoever asked has all there is to have: the script may go on, and what it writes is thrown away.
    pub(crate) fn release(mut self) {
        self.ending = Ending::Drain;
    }

    /// As [`release`](Self::release), for a run that is kept.
    pub(crate) const fn is_satisfied(&mut self) {
        self.ending = Ending::Drain;
    }

    /// Waits until it has ended, or its time is up.
    pub(crate) fn finish(mut self) {
        self.ending = Ending::Drain;
        let minder = self.minder.take();
        drop(self);
        if let Some(minder) = minder {
            let _ = minder.join();
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.shared.end(self.ending);
        // And not by closing it only: the minder of a script that is joined must see it before.
        let _ = self.leash.shutdown(std::net::Shutdown::Both);
    }
}

/// Empties a pipe that does not block. Whether its end was seen.
pub(crate) fn drain(pipe: impl AsFd, mut take: impl FnMut(&[u8])) -> bool {
    let mut block = [0; 8 * 1024];
    // Bounded, so that one who writes without pause does not keep the others waiting.
    for _ in 0..64 {
        match rustix::io::read(&pipe, &mut block) {
            Ok(0) => return true,
            Ok(n) => take(&block[..n]),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return false,
            Err(_) => return true,
        }
    }
    false
}

/// Takes what was written to the leash.
pub(crate) fn empty(mut leash: &UnixStream) {
    let _ = leash.read(&mut [0; 64]);
}
