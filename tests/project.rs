//! Promises about the repository: its sources, documents and scripts.

mod alerts;
mod architecture;
mod documents;
mod release;
mod run;
mod security;
mod suites;
mod tables;
mod words;
