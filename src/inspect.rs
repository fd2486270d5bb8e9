//! The cluster as the tool sees it: untyped, read once for each question.

pub(crate) mod api;
pub(crate) mod installation;
pub(crate) mod opt_in;
pub(crate) mod selector;
pub(crate) mod owner;
pub(crate) mod namespace;
pub(crate) mod job_status;
pub(crate) mod pod;
pub(crate) mod settings;
