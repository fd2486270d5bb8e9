//! What dynamo-cache promises, one sentence a test.

mod config;
mod inject;
mod program;
mod property;
mod readme;
