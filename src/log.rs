//! Log lines on standard error, as text for people or as one JSON object a line. They pass a bounded queue with a writer of its
//! own, so a reader that stops holds up the log and nothing else.

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

/// How long the end of the process waits for lines that are not written yet: a reader that has stopped does not hold it up.
const FLUSH: Duration = Duration::from_secs(1);

/// The lines that wait to be written.
static QUEUE: LazyLock<Queue> = LazyLock::new(Queue::default);

/// Whether lines pass the queue.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something else writes lines already.
    #[error("something else writes the log already")]
    Taken(#[from] TryInitError),
    /// The system gives us no thread.
    #[error("failed to start the writer of the log")]
    Writer(#[from] io::Error),
}

/// Writes log lines from now on, in a thread of its own that lasts as long as the process.
///
/// # Errors
/// Something else writes them already, or there is no thread to be had.
pub fn start(format: LogFormat) -> Result<(), Error> {
    let (filter, refused) = filter();
    let lines = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(|| Line(&QUEUE));
    // A reader that has gone away must not end us: the library would tell on the same standard error, and panic.
    let lines = lines.log_internal_errors(false);
    match format {
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).finish().with(filter).try_init()?;
        }
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).finish().with(filter).try_init()?,
    }
    // Standard error is taken for each write anew: the lock of it, held by a write that blocks, is held by no one else.
    thread::Builder::new().name("log".to_owned()).spawn(|| QUEUE.write_to(io::stderr(), report))?;
    STARTED.store(true, Ordering::Release);
    if let Some(error) = refused {
        warn!(%error, "RUST_LOG is ignored; it is written like info,dynamo_cache=debug");
    }
    // A panic is a line like any other.
    panic::set_hook(Box::new(|panic| error!("{panic}")));
    Ok(())
}

/// Prints text to standard error, past the filter and without a time: by the queue where there is a log, since a direct
/// write waits for the reader.
pub fn print(text: &dyn Display) {
    if STARTED.load(Ordering::Acquire) {
        QUEUE.push(format!("{text}\n").as_bytes());
    } else {
        // No other way is left to report that it failed.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// How many lines were dropped since the process started.
pub fn dropped() -> u64 {
    QUEUE.dropped()
}

/// Dropped at the end of `main`, it waits until the lines of the log are written, for a second at most.
#[derive(Debug)]
pub struct Flush;

impl Drop for Flush {
    fn drop(&mut self) {
        if STARTED.load(Ordering::Acquire) {
            QUEUE.flush(FLUSH);
        }
    }
}

fn report(lines: u64) {
    warn!(lines, "lines of the log were dropped: nothing read standard error, or not fast enough");
}

/// What is logged: what `RUST_LOG` says, else `info`, and what is wrong with `RUST_LOG` where it cannot be read.
///
/// kube's own words about a failing call are left out by default: `cluster` says the same once, and counts it.
#[expect(clippy::disallowed_methods, reason = "how every program of this library is told")]
fn filter() -> (Targets, Option<ParseError>) {
    let told = std::env::var("RUST_LOG").ok().filter(|told| !told.is_empty()).map(|told| told.parse());
    let usual = || Targets::new().with_default(LevelFilter::INFO).with_target("kube_client", LevelFilter::OFF);
    match told {
        None => (usual(), None),
        Some(Ok(told)) => (told, None),
        Some(Err(error)) => (usual(), Some(error)),
    }
}
