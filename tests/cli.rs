//! Promises about the command line: they need the program, and no cluster.

mod cases;
mod config;
mod download;
mod explain;
mod graphs;
mod help;
mod inject;
mod input;
mod kinds;
mod prune;
mod serve;
mod try_it;
