//! Which CAs every API server knows by now: each learns of the configuration by a watch of its own.

use std::collections::HashMap;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use crate::certificate::ca_bundle;
use crate::cluster::webhook_configuration::Entry;

/// The CAs of the entries.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// Those that any entry has.
    pub(super) anywhere: Vec<CertificateDer<'static>>,
    /// Those that every entry has.
    pub(super) everywhere: Vec<CertificateDer<'static>>,
    /// Those of them that have been there long enough.
    pub(super) settled: Vec<CertificateDer<'static>>,
}

/// The CAs that every entry has, and since when.
#[derive(Debug)]
pub(super) struct Settled {
    everywhere: HashMap<CertificateDer<'static>, Instant>,
    /// How long one has to be seen.
    settle: Duration,
}

impl Settled {
    /// None was seen yet.
    pub(super) fn new(settle: Duration) -> Self {
        Settled { everywhere: HashMap::new(), settle }
    }

    /// Takes in what is published now.
    pub(super) fn see(&mut self, entries: &[Entry], now: Instant) -> Published {
        let bundles: Vec<_> = entries.iter().map(|entry| ca_bundle::read(&entry.bundle)).collect();
        let mut everywhere = bundles.first().cloned().unwrap_or_default();
        everywhere.retain(|certificate| bundles.iter().all(|bundle| bundle.contains(certificate)));
        self.everywhere.retain(|certificate, _| everywhere.contains(certificate));
        for certificate in &everywhere {
            self.everywhere.entry(certificate.clone()).or_insert(now);
        }
        let settled = self.everywhere.iter().filter(|(_, since)| now >= **since + self.settle);
        let settled = settled.map(|(certificate, _)| certificate.clone()).collect();
        let mut anywhere = Vec::new();
        for certificate in bundles.into_iter().flatten() {
            if !anywhere.contains(&certificate) {
                anywhere.push(certificate);
            }
        }
        Published { anywhere, everywhere, settled }
    }

    /// When the next has been there long enough, after a time.
    pub(super) fn next(&self, after: Instant) -> Option<Instant> {
        let settle = self.everywhere.values().map(|since| *since + self.settle);
        settle.filter(|time| after < *time).min()
    }
}
