//! Log lines on standard error, as text or as one JSON object per line. A bounded queue and a writer thread of its own
//! keep a slow reader from blocking anything but the log.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{panic, thread};

use tracing::{Level, error, warn};
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::cli::LogFormat;

mod queue;
mod throttle;

use queue::{Line, Queue};
pub use throttle::Throttle;

/// How long the process waits at its end for lines that are not written yet. A reader that has stopped does not delay
/// it further.
const FLUSH: Duration = Duration::from_secs(1);

/// The lines that are not written yet.
static QUEUE: LazyLock<Queue> = LazyLock::new(Queue::default);

/// Whether the writer thread runs.
static STARTED: AtomicBool = AtomicBool::new(false);

/// A log that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another subscriber is installed already.
    #[error("another log is installed already")]
    Taken(#[from] TryInitError),
    /// The system cannot start a thread.
    #[error("failed to start the log writer")]
    Writer(#[from] io::Error),
}

/// Starts the log, with a writer thread that lasts as long as the process.
///
/// # Errors
/// Another subscriber is installed already, or the thread cannot be started.
pub fn start(format: LogFormat) -> Result<(), Error> {
    let (filter, invalid) = read_filter();
    start_filtered(format, filter)?;
    if let Some(error) = invalid {
        warn!(%error, "RUST_LOG is invalid and ignored; an example is info,dynamo_cache=debug");
    }
    Ok(())
}

/// Starts the log of a program in another image, as JSON: that image's `RUST_LOG` is not for it.
///
/// # Errors
/// As of [`start`].
pub fn start_in_other_image() -> Result<(), Error> {
    start_filtered(LogFormat::Json, default_filter())
}

fn start_filtered(format: LogFormat, filter: Targets) -> Result<(), Error> {
    let lines = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(|| Line(&QUEUE));
    // A closed standard error must not end the process: tracing-subscriber would report the error on the same standard
    // error, and panic.
    let lines = lines.log_internal_errors(false);
    match format {
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).finish().with(filter).try_init()?;
        }
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).finish().with(filter).try_init()?,
    }
    // Standard error is locked for each write only, so the lock of a write that blocks is held by no other thread.
    thread::Builder::new().name("log".to_owned()).spawn(|| QUEUE.write_to(io::stderr(), report_dropped))?;
    STARTED.store(true, Ordering::Release);
    // A panic is logged like any other line.
    panic::set_hook(Box::new(|panic| error!("{panic}")));
    Ok(())
}

/// Prints text to standard error without filter or timestamp. It uses the queue if the log runs, because a direct write
/// blocks on a slow reader.
pub fn print(text: &dyn Display) {
    if STARTED.load(Ordering::Acquire) {
        QUEUE.push(format!("{text}\n").as_bytes());
    } else {
        // A failure cannot be reported anywhere else.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// The number of lines that were dropped since the process started.
pub fn dropped() -> u64 {
    QUEUE.dropped()
}

/// A guard for the end of `main`: dropping it waits until all lines are written, for a second at most.
#[derive(Debug)]
pub struct Flush;

impl Drop for Flush {
    fn drop(&mut self) {
        if STARTED.load(Ordering::Acquire) {
            QUEUE.flush(FLUSH);
        }
    }
}

fn report_dropped(lines: u64) {
    warn!(lines, "log lines were dropped: standard error was not read fast enough");
}

/// `info`, without kube's own lines about failed calls: `cluster` logs each failure once, and counts it.
fn default_filter() -> Targets {
    Targets::new().with_default(LevelFilter::INFO).with_target("kube_client", LevelFilter::OFF)
}

/// The filter of `RUST_LOG`, else the default one, with the parse error if `RUST_LOG` is invalid.
#[expect(clippy::disallowed_methods, reason = "the conventional variable of tracing programs")]
fn read_filter() -> (Targets, Option<ParseError>) {
    let value = std::env::var("RUST_LOG").ok().filter(|value| !value.is_empty()).map(|value| value.parse());
    match value {
        None => (default_filter(), None),
        Some(Ok(targets)) => (targets, None),
        Some(Err(error)) => (default_filter(), Some(error)),
    }
}
