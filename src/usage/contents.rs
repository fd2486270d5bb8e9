//! What a claim contains: written by the Job that measures it, and read by the commands.

use serde::{Deserialize, Serialize};

/// The contents of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// When they were measured, in seconds since 1970, by the clock of the node.
    pub now: i64,
    /// The bytes that may still be written.
    pub free_bytes: u64,
    /// The bytes of the file system.
    pub capacity_bytes: u64,
    /// The models of its hubs, the largest first.
    pub models: Vec<Model>,
    /// The compile caches of mode `direct`, the largest first.
    pub folders: Vec<Folder>,
    /// The archives of mode `staged`, the largest first.
    pub archives: Vec<Archives>,
    /// What an interrupted `prune` has left, by its path.
    pub unfinished: Vec<Folder>,
    /// How many of these are not listed, because there are too many.
    pub omitted: u64,
}

/// What files take together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    /// Their bytes.
    pub bytes: u64,
    /// Their number.
    pub files: u64,
    /// When one of them was last read or written, in seconds since 1970, as far as the file system notes it.
    pub last_use: i64,
    /// Whether all of them were counted.
    pub is_whole: bool,
}

/// A model in a hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// Its name on the hub.
    pub model: String,
    /// The folder of the hub, from the root of the claim; empty if it is the root.
    pub hub: String,
    /// All of its files.
    #[serde(flatten)]
    pub size: Size,
    /// Its revisions, the last used first.
    pub revisions: Vec<Revision>,
}

/// A revision of a model. Revisions share the files that they have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// The commit.
    pub revision: String,
    /// The branches, tags and marks that lead to it.
    pub refs: Vec<String>,
    /// Its files.
    #[serde(flatten)]
    pub size: Size,
}

/// A compile cache of mode `direct`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Folder {
    /// Its path from the root of the claim.
    pub path: String,
    /// The uid of its owner.
    pub user: u32,
    /// Its files.
    #[serde(flatten)]
    pub size: Size,
}

/// What mode `staged` keeps for one key on one kind of node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Archives {
    /// The path of the key from the root of the claim: `staged-v1/KEY`.
    pub path: String,
    /// The digits of the kind of node.
    pub node: String,
    /// The uid of the owner.
    pub user: u32,
    /// Its files.
    #[serde(flatten)]
    pub size: Size,
    /// The generations, the newest first.
    pub generations: Vec<Generation>,
}

/// An archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Generation {
    /// Its SHA-256.
    pub digest: String,
    /// Its size; `None` if its manifest cannot be read.
    pub bytes: Option<u64>,
    /// When it was packed, by the clock of that node; `None` likewise.
    pub created: Option<String>,
    /// How many pods have put it aside.
    pub strikes: usize,
}

/// What became of a folder that was to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Removal {
    /// Its path from the root of the claim.
    pub path: String,
    /// What became of it.
    pub result: Removed,
    /// Why, for people; empty unless it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What became of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Removed {
    /// It is gone.
    Removed,
    /// It was gone already.
    Gone,
    /// It was used since it was measured, so it stays.
    Used,
    /// It is there, or a part of it.
    Failed,
}

impl Size {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Size) -> Size {
        Size {
            bytes: self.bytes.saturating_add(other.bytes),
            files: self.files.saturating_add(other.files),
            last_use: self.last_use.max(other.last_use),
            is_whole: self.is_whole && other.is_whole,
        }
    }
}

impl Contents {
    /// Reads the contents from a line of a log; `None` if it is another line.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

impl Removal {
    /// Reads a result from a line of a log; `None` if it is another line.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}
