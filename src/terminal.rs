//! Output for people: lines on standard output and standard error, colours, tables, diffs, progress.

pub(crate) mod amount;
pub(crate) mod colour;
pub(crate) mod progress_line;
pub(crate) mod table;
pub(crate) mod diff;
mod print;
pub(crate) mod visible;

pub use print::note;
pub(crate) use print::{note_all, print, print_exact};
