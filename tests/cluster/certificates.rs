//! Certificates, each promise on a real API server.

mod adoption;
mod from_files;
mod client_certificates;
mod closed_loop;
mod recovery;
mod ca_secret;
mod upgrade;
