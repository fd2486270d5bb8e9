//! Options that provide the facts of a cluster without a cluster.

use std::path::PathBuf;

use clap::Args;

use crate::admission::claim::Access;
use crate::cli::parse;

/// The facts that a cluster would provide, from files or single values.
#[derive(Clone, Debug, Default, Args)]
#[group(id = "known", multiple = true)]
pub struct OfflineFacts {
    /// The pods' namespace, as printed by kubectl get namespace NAME -o yaml; its annotations apply.
    #[arg(long, value_name = "FILE")]
    pub namespace_file: Option<PathBuf>,
    /// An annotation of the pods' namespace, such as dynamo-cache.io/model-claim=models; overrides --namespace-file.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::annotation)]
    pub namespace_annotation: Vec<(String, String)>,
    /// The claims of the pods' namespace, as printed by kubectl get persistentvolumeclaims -o yaml; no other claims exist.
    ///
    /// StorageClasses in the same file show which pending claims never get a volume.
    #[arg(long, value_name = "FILE")]
    pub claims: Option<PathBuf>,
    /// A claim that exists, with its access mode (default ReadWriteMany); no other claims exist.
    ///
    /// Without --claim and --claims, every claim exists.
    #[arg(long, value_name = "NAME[=MODE]", value_parser = parse::claim)]
    pub claim: Vec<(String, Access)>,
}

impl OfflineFacts {
    /// Whether any of the options was given.
    pub fn is_given(&self) -> bool {
        let OfflineFacts { namespace_file, namespace_annotation, claims, claim } = self;
        namespace_file.is_some() || claims.is_some() || !namespace_annotation.is_empty() || !claim.is_empty()
    }
}
