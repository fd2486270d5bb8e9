//! Promises about the command line: they need the program, and no cluster.

mod config;
pub(crate) mod download;
mod explain;
mod help;
mod inject;
