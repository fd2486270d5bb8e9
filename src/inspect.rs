//! The cluster as the command line tool sees it: untyped objects, read once.

pub(crate) mod api;
pub(crate) mod installation;
pub(crate) mod opt_in;
pub(crate) mod selector;
pub(crate) mod owner;
pub(crate) mod namespace;
pub(crate) mod job_status;
pub(crate) mod pod;
pub(crate) mod settings;
