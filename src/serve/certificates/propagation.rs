//! Tracks which CAs every API server knows. Each API server learns of the configuration by a watch of its own.

use std::collections::HashMap;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use crate::certificate::ca_bundle;
use crate::cluster::webhook_configuration::Entry;

/// The CAs in the entries of the webhook configuration.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// Those that at least one entry has.
    pub(super) anywhere: Vec<CertificateDer<'static>>,
    /// Those that every entry has.
    pub(super) everywhere: Vec<CertificateDer<'static>>,
    /// Those that every entry has had for the propagation delay.
    pub(super) propagated: Vec<CertificateDer<'static>>,
}

/// The CAs that every entry has, each with the time it was first observed.
#[derive(Debug)]
pub(super) struct Propagation {
    everywhere: HashMap<CertificateDer<'static>, Instant>,
    /// The propagation delay.
    delay: Duration,
}

impl Propagation {
    /// No CA was observed yet.
    pub(super) fn new(delay: Duration) -> Self {
        Propagation { everywhere: HashMap::new(), delay }
    }

    /// Records the current entries.
    pub(super) fn observe(&mut self, entries: &[Entry], now: Instant) -> Published {
        let bundles: Vec<_> = entries.iter().map(|entry| ca_bundle::read(&entry.bundle)).collect();
        let mut everywhere = bundles.first().cloned().unwrap_or_default();
        everywhere.retain(|certificate| bundles.iter().all(|bundle| bundle.contains(certificate)));
        self.everywhere.retain(|certificate, _| everywhere.contains(certificate));
        for certificate in &everywhere {
            self.everywhere.entry(certificate.clone()).or_insert(now);
        }
        let propagated = self.everywhere.iter().filter(|(_, since)| now >= **since + self.delay);
        let propagated = propagated.map(|(certificate, _)| certificate.clone()).collect();
        let mut anywhere = Vec::new();
        for certificate in bundles.into_iter().flatten() {
            if !anywhere.contains(&certificate) {
                anywhere.push(certificate);
            }
        }
        Published { anywhere, everywhere, propagated }
    }

    /// The next time after `after` at which a CA counts as propagated.
    pub(super) fn next_at(&self, after: Instant) -> Option<Instant> {
        let times = self.everywhere.values().map(|since| *since + self.delay);
        times.filter(|time| after < *time).min()
    }
}
