//! A mutating admission webhook that gives every NVIDIA Dynamo pod its caches, and the tool around it.
//!
//! The journey of a review, and the modules in its order:
//!
//! ```text
//!             TLS accept      HTTP              decode       which part    which rules    what changes   as JSON Patch   answer
//! API server ──────▶ server ──▶ server/route ──▶ review ──▶ component ──▶ settings ──▶ plan ──────▶ patch ──────▶ review ──▶ API server
//!                      ▲              ▲                                       ▲            ▲
//!                certificate   cluster/{namespaces,claims}                config       engine (the table)
//! a person ─▶ cli ─▶ command/inject ───────────────────────▶ the same core ─────────────────────────────▶ YAML, patch or diff
//! ```

/// What happens to a pod: the pure core.
pub mod admission;
/// What a person may type.
pub mod cli;
/// What each command does.
pub mod command;
/// The file a person writes becomes a Config that cannot be wrong.
pub mod config;
/// YAML as Kubernetes reads it.
pub mod yaml;
