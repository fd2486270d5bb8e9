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
/// The running webhook: who starts and stops whom.
pub mod serve;
/// Objects in files: read, decided, changed and explained without a cluster.
mod manifest;
/// The cluster as the tool sees it.
mod inspect;
/// What a person sees.
pub mod terminal;
/// What each command does.
pub mod command;
/// Whether the webhook is ready, and why not.
pub mod readiness;
/// What is counted, and the page that shows it.
pub mod metrics;
/// Log lines, as text or JSON.
pub mod log;
/// Failures in words.
pub mod failure;
/// How often something may happen.
pub mod rate;
/// SIGTERM and SIGINT, as something to wait for.
pub mod signal;
