//! Promises about the running webhook: they need the program, and no cluster.

mod cases;
mod certificate_reload;
mod certificates;
mod hostile;
mod log;
mod protocol;
mod settings_reload;
mod shutdown;
mod timeouts;
