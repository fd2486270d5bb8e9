//! Promises about a Kubernetes cluster: they need the control plane.

mod any_pod;
mod attack;
mod cases;
mod cert_manager;
pub(crate) mod certificates;
mod chart;
mod check;
mod connections;
mod documents;
mod download;
pub(crate) mod events;
mod explain;
pub(crate) mod failures;
mod guard;
mod install;
mod malformed_objects;
mod network_policy;
mod pods;
mod preview;
mod prometheus;
mod rights;
mod tenant;
mod try_script;
mod uninstall;
mod unreviewed_pods;
mod watches;
