//! What dynamo-cache promises, one sentence a test.

mod cases;
mod config;
mod inject;
mod program;
mod property;
mod readme;
