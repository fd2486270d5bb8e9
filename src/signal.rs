//! SIGTERM and SIGINT as futures.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that stop the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Registers handlers. From now on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// The process cannot register for signals.
    pub fn listen() -> io::Result<Self> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal, and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The error of a command that was stopped by the signal of this name.
#[derive(Debug, thiserror::Error)]
#[error("stopped by {0}")]
pub struct Stopped(pub &'static str);

impl Stopped {
    /// The exit code for a shell: 128 plus the number of the signal.
    pub fn exit_code(&self) -> u8 {
        match self.0 {
            "SIGTERM" => 143,
            _ => 130,
        }
    }
}
