//! The handover of the cache from the stage to the engine: a state that stage and gate change under a lock.
//!
//! The cache is put in place by several renames. The lock is the kernel's and ends with its holder, so a gate that gets it
//! while the state is `Placing` knows that the stage was killed between two of them, and removes what is there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::stage::digest::Digest;
use crate::stage::folder::Durability;
use crate::stage::local::Local;
use crate::stage::record::Reason;

const STATE: &str = ".dynamo-cache-state.json";
const TEMPORARY: &str = ".dynamo-cache-state.json.new";
const LOCK: &str = ".dynamo-cache-lock";
const MAX_STATE: u64 = 64 << 10;

/// How far the handover is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// No stage has run in this pod.
    #[default]
    New,
    /// The stage restores the cache, next to its place.
    Restoring,
    /// The stage puts it in place.
    Placing,
    /// The stage has done what it could.
    Done,
    /// The gate has let the engine start without waiting longer.
    Released,
}

/// The state of the handover.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// How far it is.
    pub phase: Phase,
    /// Whether a gate has run in this pod.
    #[serde(default)]
    pub has_gate: bool,
    /// The bytes of all files together, as soon as they are known.
    #[serde(default)]
    pub total: u64,
    /// The bytes that are written.
    #[serde(default)]
    pub written: u64,
    /// What is in place.
    #[serde(default)]
    pub restored: Option<Restored>,
    /// Why nothing is.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// The generations that this pod takes for nothing: damaged, or its engine died on them.
    #[serde(default)]
    pub put_aside: BTreeSet<Digest>,
}

/// A cache that is in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The generation.
    pub generation: Digest,
    /// The number of files.
    pub files: u64,
}

/// What a stage finds when it starts.
#[derive(Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing was done before it.
    First,
    /// Another stage ran in this pod, or the engine may run already.
    Again(Option<Restored>),
}

/// The handover of one pod.
#[derive(Debug)]
pub struct Handover {
    /// The local cache.
    pub local: Local,
    /// Between the threads of this process, and between processes.
    lock: Mutex<File>,
}

impl Handover {
    /// Opens the handover in the local cache.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let local = Local::open(path)?;
        let lock = local.folder.open_or_create(OsStr::new(LOCK))?;
        Ok(Handover { local, lock: Mutex::new(lock) })
    }

    /// The state. One that was never written, or cannot be read, is that before any stage.
    pub fn state(&self) -> State {
        self.read().unwrap_or_default()
    }

    /// The state. One that was never written, or is none, is that before any stage.
    ///
    /// # Errors
    /// The local cache cannot be read.
    pub fn read(&self) -> io::Result<State> {
        match self.local.folder.read(OsStr::new(STATE), MAX_STATE) {
            Ok(state) => Ok(serde_json::from_slice(&state).unwrap_or_default()),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
                Ok(State::default())
            }
            Err(error) => Err(error),
        }
    }

    /// Starts a stage. What an interrupted stage left is removed.
    ///
    /// # Errors
    /// The local cache cannot be written.
    pub fn start(&self) -> io::Result<Start> {
        self.change(|state| match state.phase {
            Phase::New => {
                state.phase = Phase::Restoring;
                Ok(Start::First)
            }
            Phase::Restoring | Phase::Placing => {
                if state.phase == Phase::Placing {
                    self.local.empty()?;
                }
                (state.phase, state.reason) = (Phase::Done, Some(Reason::SecondStart));
                Ok(Start::Again(None))
            }
            Phase::Done | Phase::Released => Ok(Start::Again(state.restored.clone())),
        })
    }

    /// Notes how many bytes are written, and returns how far the handover is.
    ///
    /// # Errors
    /// The local cache cannot be written.
    pub fn note_progress(&self, written: u64, total: u64) -> io::Result<Phase> {
        self.change(|state| {
            (state.written, state.total) = (written, total);
            Ok(state.phase)
        })
    }

    /// Puts the cache in place, unless it is no longer waited for. Returns whether it is in place.
    ///
    /// # Errors
    /// It cannot be put in place. What is there of it goes with `give_up`, `start` or `release`.
    pub fn place(&self, restored: &Restored, rename: impl FnOnce() -> io::Result<()>) -> io::Result<bool> {
        self.change(|state| {
            if state.phase != Phase::Restoring {
                return Ok(false);
            }
            state.phase = Phase::Placing;
            self.write(state)?;
            if let Err(error) = rename() {
                // If this fails, too, the state stays, and the next stage or gate empties the cache.
                drop(self.local.empty());
                return Err(error);
            }
            (state.phase, state.restored) = (Phase::Done, Some(restored.clone()));
            Ok(true)
        })
    }

    /// Ends the restore, and removes a cache that is not completely in place. Returns whether none is.
    ///
    /// # Errors
    /// The local cache cannot be written; then the restore has not ended.
    pub fn give_up(&self, reason: Reason) -> io::Result<bool> {
        self.change(|state| {
            if state.phase == Phase::Placing {
                self.local.empty()?;
            }
            if matches!(state.phase, Phase::Restoring | Phase::Placing) {
                (state.phase, state.reason) = (Phase::Done, Some(reason));
            }
            Ok(state.restored.is_none())
        })
    }

    /// Notes that what was restored is no longer there, since the engine died on it: it is put aside.
    ///
    /// # Errors
    /// The local cache cannot be written.
    pub fn forget_restored(&self) -> io::Result<()> {
        self.change(|state| {
            state.put_aside.extend(state.restored.take().map(|restored| restored.generation));
            Ok(())
        })
    }

    /// Notes that a generation is put aside, also for the next stage of this pod.
    ///
    /// # Errors
    /// The local cache cannot be written.
    pub fn put_aside(&self, generation: &Digest) -> io::Result<()> {
        self.change(|state| {
            state.put_aside.insert(generation.clone());
            Ok(())
        })
    }

    /// Notes that there is a gate. Returns whether that was possible, which it is not while the stage holds the lock.
    ///
    /// # Errors
    /// The local cache cannot be written.
    pub fn note_gate(&self) -> io::Result<bool> {
        let noted = self.try_change(|state| {
            state.has_gate = true;
            Ok(())
        })?;
        Ok(noted.is_some())
    }

    /// Ends the handover for the gate, and removes what a killed stage has put in place. Returns the state before it; `None`
    /// while the stage holds the lock.
    ///
    /// # Errors
    /// The local cache cannot be written.
    pub fn release(&self) -> io::Result<Option<State>> {
        self.try_change(|state| {
            let before = state.clone();
            if before.phase == Phase::Placing {
                self.local.empty()?;
            }
            state.has_gate = true;
            if before.phase != Phase::Done {
                state.phase = Phase::Released;
            }
            Ok(before)
        })
    }

    /// Changes the state under the lock.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        lock.lock()?;
        let changed = self.change_locked(change);
        lock.unlock()?;
        changed
    }

    /// The same without waiting for the lock; `None` if another process holds it.
    fn try_change<T>(&self, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<Option<T>> {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let changed = self.change_locked(change);
        lock.unlock()?;
        changed.map(Some)
    }

    fn change_locked<T>(&self, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let before = self.read()?;
        let mut state = before.clone();
        let changed = change(&mut state)?;
        if state != before {
            self.write(&state)?;
        }
        Ok(changed)
    }

    fn write(&self, state: &State) -> io::Result<()> {
        let text = serde_json::to_vec(state)?;
        self.local.folder.replace(OsStr::new(STATE), OsStr::new(TEMPORARY), &text, Durability::Process)
    }
}

#[cfg(test)]
mod tests;
