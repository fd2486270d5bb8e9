//! A mutating admission webhook that gives every NVIDIA Dynamo pod its caches, and a command-line tool for it.
//!
//! The path of a review, with the modules in its order:
//!
//! ```text
//!             TLS accept      HTTP               decode       classify           which rules    what changes   as JSON Patch   answer
//! API server ──────▶ server ──▶ server/webhook ──▶ review ──▶ classification ──▶ settings ──▶ plan ──────▶ patch ──────▶ review ──▶ API server
//!                      ▲              ▲                                             ▲            ▲
//!                certificate   cluster/{namespaces,claims}                       config       engine (the table)
//! a person ─▶ cli ─▶ command/inject ─▶ manifest ──────────────────▶ the same core ─────────────────────────────▶ YAML, patch or diff
//! ```
//!
//! Gather, decide, act: a shell gathers facts, the core decides, a shell acts. The core gets everything as arguments, and uses no
//! clock, network, file, task or environment.

/// The HTTP servers: `POST /mutate` over TLS, and probes and metrics on the admin listener.
pub mod server;
/// The serving certificate: loaded from files or issued here, and when it is due for renewal.
pub mod certificate;
/// The webhook's view of the cluster: watched, typed and bounded.
pub mod cluster;
/// The pure core: what a pod gets, and why.
pub use dynamo_cache_admission as admission;
/// The settings file, parsed in full into a `Config` that is valid by construction, and reloaded when it changes.
pub mod config;
/// Reads small files completely, up to a limit.
pub mod small_file;
/// YAML as Kubernetes reads it.
pub mod yaml;
/// The command line, as types.
pub mod cli;
/// The running webhook: starts, owns and stops its tasks.
pub mod serve;
/// The staged compile cache, inside of the pod: restores it before the engine starts, and publishes it.
pub mod stage;
/// What the caches on a claim take, inside of a Job: measured, and removed.
pub mod usage;
/// Objects in files, without a cluster: parsed, decided, changed and explained.
mod manifest;
/// The tool's view of the cluster: untyped, and read once.
mod inspect;
/// Standard output and standard error for people.
pub mod terminal;
/// The commands.
pub mod command;
/// The Service by which the API server calls the webhook.
pub mod service;
/// Which conditions of readiness are met.
pub mod readiness;
/// The metrics, and the page that Prometheus scrapes.
pub mod metrics;
/// Log lines, as text or JSON.
pub mod log;
/// Root causes and timeouts as messages.
pub mod failure;
/// Token buckets.
pub mod rate;
/// SIGTERM and SIGINT as futures.
pub mod signal;
