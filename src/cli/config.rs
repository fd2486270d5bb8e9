//! The commands below `config`.

use std::path::PathBuf;

use clap::Subcommand;

/// The commands below `config`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  dynamo-cache config default > config.yaml
  dynamo-cache config check config.yaml
  dynamo-cache config schema > config.schema.json")]
pub enum Config {
    /// Check a settings file and print every mistake with its line and column.
    #[command(after_help = "\
Examples:
  dynamo-cache config check config.yaml

Exit codes: 0 no mistakes, 1 mistakes (FILE:LINE:COLUMN: message), 2 wrong usage.")]
    Check {
        /// The settings file; - for standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the default settings file, with comments.
    #[command(after_help = "\
Examples:
  dynamo-cache config default > config.yaml")]
    Default,
    /// Print a JSON Schema of the settings file, for editors.
    #[command(after_help = "\
Examples:
  dynamo-cache config schema > config.schema.json")]
    Schema,
}
