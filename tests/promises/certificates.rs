//! Promises about certificates, each held against a real API server.

mod closed_loop;
mod healing;
mod upgrade;
