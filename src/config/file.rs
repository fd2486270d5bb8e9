//! The settings file, read again while running: a bad new one keeps the last good one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::config;
use crate::config::Config;
use crate::small_file;

/// Why a file does not apply.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("failed to read the settings file {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// There are mistakes in it.
    #[error("{}", mistakes(path, wrong))]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// All of them.
        wrong: config::Error,
    },
}

/// Every mistake with its place, as compilers and editors write it.
fn mistakes(path: &Path, wrong: &config::Error) -> String {
    let lines = wrong.mistakes.iter().map(|mistake| format!("{}:{mistake}", path.display()));
    lines.collect::<Vec<_>>().join("\n")
}

/// A settings file and what it last said.
#[derive(Debug)]
pub struct SettingsFile {
    path: PathBuf,
    /// What was last read, good or bad: what was said about it once is not said again.
    seen: Result<String, String>,
    current: watch::Sender<Arc<Config>>,
}

impl SettingsFile {
    /// Reads a settings file for the first time.
    ///
    /// # Errors
    /// It cannot be read, or there are mistakes in it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let seen = content(path);
        let config = parse(path, &seen)?;
        Ok(SettingsFile { path: path.to_owned(), seen, current: watch::Sender::new(Arc::new(config)) })
    }

    /// The settings that apply, now and as they change.
    pub fn current(&self) -> watch::Receiver<Arc<Config>> {
        self.current.subscribe()
    }

    /// Reads the file again and again, for ever, and tells of each content that is new.
    ///
    /// By timer: the kubelet changes a mounted file by swapping a symlink above it, to which inotify is deaf.
    pub async fn follow(mut self, every: Duration, tell: impl Fn(Result<&Config, &Error>)) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = content(&self.path);
            if now != self.seen {
                let config = parse(&self.path, &now);
                tell(config.as_ref());
                if let Ok(config) = config {
                    self.current.send_replace(Arc::new(config));
                }
                self.seen = now;
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
