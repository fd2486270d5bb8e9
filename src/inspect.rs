//! The cluster as the command line tool sees it: untyped objects, read once.

pub(crate) mod api;
pub(crate) mod installation;
pub(crate) mod opt_in;
pub(crate) mod selector;
pub(crate) mod owner;
pub(crate) mod namespace;
pub(crate) mod job_status;
pub(crate) mod download_job;
pub(crate) mod writable;
pub(crate) mod proof;
pub(crate) mod identity;
pub(crate) mod claim_job;
pub(crate) mod demand;
pub(crate) mod shared_storage;
pub(crate) mod survey;
pub(crate) mod pod;
pub(crate) mod stage_log;
pub(crate) mod start;
pub(crate) mod settings;
pub(crate) mod node_selector;
pub(crate) mod volume;
pub(crate) mod volume_reader;
pub(crate) mod workloads;
pub(crate) mod wanted_models;
