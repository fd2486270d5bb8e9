//! Promises about certificates, each held against a real API server.

mod adoption;
mod brought;
pub(crate) mod clients;
mod closed_loop;
mod healing;
mod secret;
mod upgrade;
