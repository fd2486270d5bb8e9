//! Reloads the settings file while the webhook runs. While a new file has mistakes, the last valid settings apply.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::config;
use crate::config::Config;
use crate::small_file;

/// Why a settings file does not apply.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("failed to read the settings file {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's message.
        reason: String,
    },
    /// The file has mistakes.
    #[error("{}", mistakes(path, wrong))]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// Every mistake.
        wrong: config::Error,
    },
}

/// One line per mistake, `FILE:LINE:COLUMN: message`.
fn mistakes(path: &Path, wrong: &config::Error) -> String {
    let lines = wrong.mistakes.iter().map(|mistake| format!("{}:{mistake}", path.display()));
    lines.collect::<Vec<_>>().join("\n")
}

/// A settings file and its last valid content.
#[derive(Debug)]
pub struct SettingsFile {
    path: PathBuf,
    /// The last content, valid or not, so that each new content is reported once.
    last_read: Result<String, String>,
    current: watch::Sender<Arc<Config>>,
}

impl SettingsFile {
    /// Reads a settings file for the first time.
    ///
    /// # Errors
    /// The file cannot be read, or has mistakes.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let last_read = content(path);
        let config = parse(path, &last_read)?;
        Ok(SettingsFile { path: path.to_owned(), last_read, current: watch::Sender::new(Arc::new(config)) })
    }

    /// A receiver of the settings that apply, now and after each change.
    pub fn current(&self) -> watch::Receiver<Arc<Config>> {
        self.current.subscribe()
    }

    /// Reads the file at an interval, for ever, and calls `report` with each new content or error.
    ///
    /// It polls because the kubelet updates a mounted file by swapping a symlink in a parent directory, which inotify on the
    /// file does not notice.
    pub async fn follow(mut self, every: Duration, report: impl Fn(Result<&Config, &Error>)) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = content(&self.path);
            if now != self.last_read {
                let config = parse(&self.path, &now);
                report(config.as_ref());
                if let Ok(config) = config {
                    self.current.send_replace(Arc::new(config));
                }
                self.last_read = now;
            }
        }
    }
}

fn content(path: &Path) -> Result<String, String> {
    let content = small_file::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(content).map_err(|_| "it is not UTF-8".to_owned())
}

fn parse(path: &Path, content: &Result<String, String>) -> Result<Config, Error> {
    match content {
        Ok(text) => Config::read(text).map_err(|wrong| Error::Mistakes { path: path.to_owned(), wrong }),
        Err(reason) => Err(Error::File { path: path.to_owned(), reason: reason.clone() }),
    }
}
