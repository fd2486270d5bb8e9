//! SIGTERM and SIGINT, as something to wait for.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask us to stop.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on; from here the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// The process cannot register for signals.
    pub fn listen() -> io::Result<Self> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next signal.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// A signal ended what was asked for, by its name.
#[derive(Debug, thiserror::Error)]
#[error("stopped by {0}")]
pub struct Stopped(pub &'static str);

impl Stopped {
    /// The exit code by which a shell knows it: 128 and the signal's number.
    pub fn exit_code(&self) -> u8 {
        match self.0 {
            "SIGTERM" => 143,
            _ => 130,
        }
    }
}
