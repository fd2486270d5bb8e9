//! Log lines on standard error, as text for people or as one JSON object a line.

use std::io::{self, IsTerminal as _};
use std::panic;

use tracing::{Level, error, warn};
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::cli::LogFormat;

/// Writes log lines from now on.
///
/// # Errors
/// Something else writes them already.
pub fn start(format: LogFormat) -> Result<(), TryInitError> {
    let (filter, refused) = filter();
    let lines = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(io::stderr);
    // A reader that has gone away must not end us: the library would tell on the same standard error, and panic.
    let lines = lines.log_internal_errors(false);
    match format {
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).finish().with(filter).try_init()?;
        }
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).finish().with(filter).try_init()?,
    }
    if let Some(error) = refused {
        warn!(%error, "RUST_LOG is ignored; it is written like info,dynamo_cache=debug");
    }
    // A panic is a line like any other.
    panic::set_hook(Box::new(|panic| error!("{panic}")));
    Ok(())
}

/// What is logged: what `RUST_LOG` says, else `info`, and what is wrong with `RUST_LOG` where it cannot be read.
///
/// kube's own words about a failing call are left out by default: `cluster` says the same once, and counts it.
#[expect(clippy::disallowed_methods, reason = "how every program of this library is told")]
fn filter() -> (Targets, Option<ParseError>) {
    let told = std::env::var("RUST_LOG").ok().filter(|told| !told.is_empty()).map(|told| told.parse());
    let usual = || {
        let usual = Targets::new().with_default(LevelFilter::INFO);
        usual.with_target("kube_client", LevelFilter::OFF).with_target("kube_runtime", LevelFilter::OFF)
    };
    match told {
        None => (usual(), None),
        Some(Ok(told)) => (told, None),
        Some(Err(error)) => (usual(), Some(error)),
    }
}
