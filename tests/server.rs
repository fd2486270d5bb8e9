//! Promises about the running webhook: they need the program, and no cluster.

mod certificate_reload;
pub(crate) mod hostile;
mod log;
pub(crate) mod protocol;
mod settings_reload;
mod shutdown;
mod timeouts;
