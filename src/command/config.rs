//! Print, check or describe the settings file.

use crate::cli::Config;
use crate::config;
use crate::manifest::input::Input;
use crate::terminal::{note, print, print_exact};

/// Runs `config`.
///
/// # Errors
/// Every mistake in the checked file, or why the file cannot be read.
pub(super) fn run(what: &Config) -> anyhow::Result<()> {
    match what {
        Config::Check { file } => {
            let input = Input::read(file)?;
            for warning in input.config()?.warnings {
                note(&input.at(warning));
            }
            print(&format!("{} is valid\n", input.name))
        }
        Config::Default => print_exact(&config::default_file()),
        Config::Schema => print_exact(&format!("{:#}\n", config::schema())),
    }
}
