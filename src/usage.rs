//! What the caches on a claim take, inside of a Job: measured, and removed where a person asks for it.
//!
//! ```text
//! claim ─▶ models, compiled (direct and staged) ─▶ contents ─▶ one line of JSON in the log of the Job ─▶ `usage`, `prune`
//! claim ◀─ remove ◀─ the folders that `prune` names
//! ```
//!
//! A claim may have millions of files, links that lead anywhere, and names by anybody: everything is reached through open
//! folders, no link is followed, and whatever is counted or listed has a limit.

pub mod contents;
pub mod measure;
pub mod remove;

mod cache_path;
mod compiled;
mod first;
mod models;
mod tree;
