//! Promises about the command line: they need the program, and no cluster.

mod cases;
mod config;
mod download;
mod explain;
mod help;
mod inject;
mod serve;
mod try_it;
