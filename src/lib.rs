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

/// Serve HTTP/1.1 over TLS until told to stop, then drain.
pub mod server;
/// Our TLS identity: read it or mint it, and know when it ends.
pub mod certificate;
/// The cluster: the client, the facts that decide, and what is counted there and told to it beside the answers.
pub mod cluster;
/// What happens to a pod: the pure core.
pub use dynamo_cache_admission as admission;
/// The file a person writes becomes a Config that cannot be wrong.
pub mod config;
/// Files that are read whole, and never more than they should hold.
pub mod small_file;
/// YAML as Kubernetes reads it.
pub mod yaml;
/// What a person may type.
pub mod cli;
/// What each command does.
pub mod command;
/// What is counted, and the page that shows it.
pub mod metrics;
/// How many files and connections the system lets us have open.
pub mod open_files;
/// Log lines, as text or JSON.
pub mod log;
/// How often something may happen.
pub mod rate;
/// SIGTERM and SIGINT, as something to wait for.
pub mod signal;
