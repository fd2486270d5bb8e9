//! Which CAs every API server knows by now: each learns of the configuration by a watch of its own.

use std::collections::HashMap;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use crate::certificate::bundle;
use crate::cluster::webhook::Entry;

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

    /// Takes in what is published now: the CAs that every entry has, and those that have been there long enough.
    pub(super) fn see(
        &mut self,
        entries: &[Entry],
        now: Instant,
    ) -> (Vec<CertificateDer<'static>>, Vec<CertificateDer<'static>>) {
        let mut bundles = entries.iter().map(|entry| bundle::read(&entry.bundle));
        let mut everywhere = bundles.next().unwrap_or_default();
        for bundle in bundles {
            everywhere.retain(|certificate| bundle.contains(certificate));
        }
        self.everywhere.retain(|certificate, _| everywhere.contains(certificate));
        for certificate in &everywhere {
            self.everywhere.entry(certificate.clone()).or_insert(now);
        }
        let settled = self.everywhere.iter().filter(|(_, since)| now >= **since + self.settle);
        let settled = settled.map(|(certificate, _)| certificate.clone()).collect();
        (everywhere, settled)
    }

    /// When the next has been there long enough, after a time.
    pub(super) fn next(&self, after: Instant) -> Option<Instant> {
        let settle = self.everywhere.values().map(|since| *since + self.settle);
        settle.filter(|time| after < *time).min()
    }
}
