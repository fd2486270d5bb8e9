//! What a person sees: lines on standard output and standard error, tables, differences.

pub(crate) mod screen;
pub(crate) mod table;
pub(crate) mod diff;
mod print;

pub use print::note;
pub(crate) use print::{note_all, print, print_exact};
