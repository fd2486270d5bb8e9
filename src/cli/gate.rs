//! Options of `gate`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::cli::stage::Patience;

/// Options of `gate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache gate --local=/home/dynamo/.cache/dynamo-cache

The init container dynamo-cache-gate of a pod whose compile cache is staged runs this command. It exits with 0 whatever happens: an engine without its cache is slow, and a pod that waits does not start.")]
pub struct Gate {
    /// The folder of the local cache.
    #[arg(long, value_name = "DIR", default_value = "/home/dynamo/.cache/dynamo-cache")]
    pub local: PathBuf,
    /// How long the engine waits.
    #[command(flatten)]
    pub patience: Patience,
    /// Options of a newer webhook, which are ignored: an error would keep the engine from starting.
    #[arg(hide = true, allow_hyphen_values = true, trailing_var_arg = true)]
    pub unknown: Vec<OsString>,
}
