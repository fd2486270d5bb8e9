//! What dynamo-cache promises, one sentence a test.

mod property;
mod readme;
