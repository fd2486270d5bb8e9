//! Objects in files, without a cluster: read them, find their pod templates, inject, explain.

pub(crate) mod input;
pub(crate) mod pod_templates;
pub(crate) mod batch;
pub(crate) mod text;
pub(crate) mod inject;
pub(crate) mod context;
pub(crate) mod uninject;
pub(crate) mod explanation;
pub(crate) mod report;
pub(crate) mod facts;
pub(crate) mod models;
