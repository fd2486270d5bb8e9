//! Options of `copy-program`.

use std::path::PathBuf;

use clap::Args;

/// Options of `copy-program`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache copy-program /dynamo-cache-tool

The init container dynamo-cache-tool of a pod whose compile cache is staged runs this command, so that the containers with the engine's image have the program.")]
pub struct CopyProgram {
    /// The folder to copy this program into.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}
