//! Log lines on standard error, as text for people or as one JSON object a line.

use std::io::{self, IsTerminal as _};
use std::panic;

use tracing::error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::cli::LogFormat;

/// What is logged unless `RUST_LOG` says otherwise. kube's own words about a failing call are left out: `cluster`
/// says the same once, and counts it.
const DEFAULT_FILTER: &str = "info,kube_client=off,kube_runtime=off";

/// Writes log lines from now on.
///
/// # Errors
/// Something else writes them already.
pub fn start(format: LogFormat) -> Result<(), TryInitError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).finish().try_init()?,
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).finish().try_init()?,
    }
    // A panic is a line like any other.
    panic::set_hook(Box::new(|panic| error!("{panic}")));
    Ok(())
}
