//! The journal of a start: each record goes to the log, and with the strikes to the claim by a thread that nothing waits for.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::debug;

use crate::stage::digest::Digest;
use crate::stage::folder::Folder;
use crate::stage::layout::{Location, Store};
use crate::stage::record::Record;
use crate::stage::strikes;

const FOLDER: &str = "starts";

/// The starts that stay on the claim.
const KEPT: usize = 50;

/// The most files in `starts/`.
const MAX_NAMES: usize = 10_000;

/// What waits for a claim that does not answer. The rest is in the log alone.
const WAITING: usize = 64;

enum Job {
    Append(Record),
    Strike(Digest, Record),
    Clear(Digest),
    Flush(oneshot::Sender<()>),
}

/// The journal.
#[derive(Debug)]
pub struct Journal(SyncSender<Job>);

impl Journal {
    /// Starts the thread, which ends with the journal or with the process.
    pub fn start(location: Location) -> Self {
        let (sender, jobs) = sync_channel(WAITING);
        drop(spawn_blocking(move || write(&location, &jobs)));
        Journal(sender)
    }

    /// Logs a record, and appends it to the file of this start.
    pub fn write(&self, record: &Record) {
        record.log();
        self.send(Job::Append(record.clone()));
    }

    /// Adds a strike against a generation.
    pub fn strike(&self, digest: &Digest, why: &Record) {
        self.send(Job::Strike(digest.clone(), why.clone()));
    }

    /// Removes the strikes against a generation.
    pub fn clear_strikes(&self, digest: &Digest) {
        self.send(Job::Clear(digest.clone()));
    }

    /// Waits until all of it is written, for a time at most.
    pub async fn flush(&self, time: Duration) {
        let (sender, written) = oneshot::channel();
        self.send(Job::Flush(sender));
        drop(timeout(time, written).await);
    }

    fn send(&self, job: Job) {
        if self.0.try_send(job).is_err() {
            debug!("the claim does not answer; this is in the log alone");
        }
    }
}

fn write(location: &Location, jobs: &Receiver<Job>) {
    let mut file = None;
    while let Ok(job) = jobs.recv() {
        let store = || Store::create(location);
        let written = match job {
            Job::Append(record) => append(&mut file, store, &location.pod_uid, &record),
            Job::Strike(digest, why) => {
                store().and_then(|store| strikes::add(&store, &digest, &location.pod_uid, &why))
            }
            Job::Clear(digest) => store().map(|store| strikes::clear(&store, &digest)),
            Job::Flush(done) => {
                let _ = done.send(());
                Ok(())
            }
        };
        if let Err(error) = written {
            debug!(%error, "the claim cannot be written; this is in the log alone");
        }
    }
}

fn append(
    file: &mut Option<File>,
    store: impl FnOnce() -> io::Result<Store>,
    pod_uid: &str,
    record: &Record,
) -> io::Result<()> {
    let file = match file {
        Some(file) => file,
        None => file.insert(create(&store()?.make_folder(FOLDER)?, pod_uid)?),
    };
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    file.write_all(&line)
}

/// Creates the file of this start, and removes the oldest. Its number is one more than the last, since clocks differ.
fn create(folder: &Folder, pod_uid: &str) -> io::Result<File> {
    let mut names = folder.names(MAX_NAMES)?;
    names.retain(|name| number(name).is_some());
    names.sort_by_key(number);
    let next = names.last().and_then(number).unwrap_or_default().saturating_add(1);
    let file = folder.create(OsStr::new(&format!("{next:08}-{pod_uid}.jsonl")), 0o644)?;
    for name in names.iter().rev().skip(KEPT - 1) {
        // Two pods may remove the same one.
        drop(folder.remove(name));
    }
    Ok(file)
}

fn number(name: &OsString) -> Option<u64> {
    name.to_str()?.split_once('-')?.0.parse().ok()
}
