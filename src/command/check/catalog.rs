//! The table of checks: the ID of each, the group it is printed in, and the checks it depends on.

use CheckId::{
    Annotations, Canary, Certificate, CompileClaim, CompileWrite, Configuration, Installation, Label, ModelClaim,
    ModelWrite, Service, Settings,
};

/// A check. The ID is an interface: `check -o json` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckId {
    /// The API server answers.
    ApiServer,
    /// A MutatingWebhookConfiguration has the webhook's entry.
    Installation,
    /// The entries are as the chart ships them.
    Configuration,
    /// The webhook's Service has ready endpoints.
    Service,
    /// `caBundle` verifies the webhook's certificate.
    Certificate,
    /// The guard is complete or absent.
    Guard,
    /// A second dynamo-cache is installed; reported only if there is one.
    Duplicate,
    /// Which other webhooks and policies change pods.
    OtherWebhooks,
    /// The API server calls the webhook.
    Canary,
    /// The webhook and this tool have the same version.
    Version,
    /// The settings are known and have no mistakes.
    Settings,
    /// The namespaces to check; reported only if they cannot be listed, or if there is none.
    Namespaces,
    /// The namespace exists; reported only if it does not.
    Namespace,
    /// The webhook's selector matches the namespace.
    Label,
    /// The namespace's annotations are valid.
    Annotations,
    /// Workers get the model claim.
    ModelClaim,
    /// Workers get the compile claim.
    CompileClaim,
    /// Pods can use the volume of the model claim; reported only if the claim is bound.
    ModelVolume,
    /// The same for the compile claim, if it is another one.
    CompileVolume,
    /// The model claim has space left; reported only if a running pod mounts it.
    ModelSpace,
    /// The same for the compile claim, if it is another one.
    CompileSpace,
    /// Workers need no hub; reported only if a download has filled the model claim and they still do.
    ModelOffline,
    /// A download has brought the models that workloads name; reported only if one has not.
    Models,
    /// The namespace takes a staged worker; reported only if workers are staged.
    Staging,
    /// The running components were reviewed and have caches.
    Pods,
    /// The Model Express server has ready endpoints.
    ModelExpress,
    /// The model claim is writable; with `--write-probe`.
    ModelWrite,
    /// The compile claim is writable; with `--write-probe`.
    CompileWrite,
    /// The model claim says who can write to it; with `--write-probe`, if the Job wrote or was refused.
    ModelProof,
    /// The compile claim says who can write to it; likewise.
    CompileProof,
    /// `check` stopped early; reported only if it did.
    Aborted,
}

/// The heading that a check is printed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// The API server.
    ApiServer,
    /// The webhook.
    Webhook,
    /// The canary.
    Canary,
    /// The settings.
    Settings,
    /// The choice of namespaces.
    Namespaces,
    /// One namespace.
    Namespace,
    /// The write probe of one namespace.
    WriteProbe,
    /// The group of the check before.
    Current,
}

/// A row of the table.
struct Entry {
    id: &'static str,
    group: Group,
    /// Completes "it depends on the …".
    noun: &'static str,
    depends_on: &'static [CheckId],
}

impl CheckId {
    /// Every check, in the order of the output.
    pub(super) const ALL: [CheckId; 31] = [
        CheckId::ApiServer,
        CheckId::Installation,
        CheckId::Configuration,
        CheckId::Service,
        CheckId::Certificate,
        CheckId::Guard,
        CheckId::Duplicate,
        CheckId::OtherWebhooks,
        CheckId::Canary,
        CheckId::Version,
        CheckId::Settings,
        CheckId::Namespaces,
        CheckId::Namespace,
        CheckId::Label,
        CheckId::Annotations,
        CheckId::ModelClaim,
        CheckId::CompileClaim,
        CheckId::ModelVolume,
        CheckId::CompileVolume,
        CheckId::ModelSpace,
        CheckId::CompileSpace,
        CheckId::ModelOffline,
        CheckId::Models,
        CheckId::Staging,
        CheckId::Pods,
        CheckId::ModelExpress,
        CheckId::ModelWrite,
        CheckId::CompileWrite,
        CheckId::ModelProof,
        CheckId::CompileProof,
        CheckId::Aborted,
    ];

    #[rustfmt::skip]
    fn entry(self) -> Entry {
        let row = |id, group, noun, depends_on| Entry { id, group, noun, depends_on };
        match self {
            CheckId::ApiServer => row("api-server", Group::ApiServer, "API server", &[]),
            CheckId::Installation => row("installation", Group::Webhook, "installation", &[]),
            CheckId::Configuration => row("configuration", Group::Webhook, "configuration", &[Installation]),
            CheckId::Service => row("service", Group::Webhook, "Service", &[Installation]),
            CheckId::Certificate => row("certificate", Group::Webhook, "certificate", &[Installation]),
            CheckId::Guard => row("guard", Group::Webhook, "guard", &[Installation]),
            CheckId::Duplicate => row("duplicate", Group::Webhook, "second dynamo-cache", &[]),
            CheckId::OtherWebhooks => row("other-webhooks", Group::Webhook, "other webhooks", &[Installation]),
            CheckId::Canary => row("canary", Group::Canary, "canary", &[Configuration, Service, Certificate]),
            CheckId::Version => row("version", Group::Canary, "version", &[Canary]),
            CheckId::Settings => row("settings", Group::Settings, "settings", &[Installation]),
            CheckId::Namespaces => row("namespaces", Group::Namespaces, "namespaces", &[]),
            CheckId::Namespace => row("namespace", Group::Namespace, "namespace", &[]),
            CheckId::Label => row("label", Group::Namespace, "label", &[Installation]),
            CheckId::Annotations => row("annotations", Group::Namespace, "namespace's annotations", &[]),
            CheckId::ModelClaim => row("model-claim", Group::Namespace, "model claim", &[Settings, Annotations]),
            CheckId::CompileClaim => row("compile-claim", Group::Namespace, "compile claim", &[Settings, Annotations]),
            CheckId::ModelVolume => row("model-volume", Group::Namespace, "model claim's volume", &[ModelClaim]),
            CheckId::CompileVolume => row("compile-volume", Group::Namespace, "compile claim's volume", &[CompileClaim]),
            CheckId::ModelSpace => row("model-space", Group::Namespace, "model claim's space", &[ModelClaim]),
            CheckId::CompileSpace => row("compile-space", Group::Namespace, "compile claim's space", &[CompileClaim]),
            CheckId::ModelOffline => row("model-offline", Group::Namespace, "offline mode", &[ModelClaim]),
            CheckId::Models => row("models", Group::Namespace, "models", &[ModelClaim]),
            CheckId::Staging => row("staging", Group::Namespace, "staged worker", &[CompileClaim]),
            CheckId::Pods => row("pods", Group::Namespace, "pods", &[Label]),
            CheckId::ModelExpress => row("model-express", Group::Namespace, "Model Express", &[Settings, Annotations]),
            CheckId::ModelWrite => row("model-write", Group::WriteProbe, "model claim", &[ModelClaim]),
            CheckId::CompileWrite => row("compile-write", Group::WriteProbe, "compile claim", &[CompileClaim]),
            CheckId::ModelProof => row("model-proof", Group::WriteProbe, "model claim's proof", &[ModelWrite]),
            CheckId::CompileProof => row("compile-proof", Group::WriteProbe, "compile claim's proof", &[CompileWrite]),
            CheckId::Aborted => row("aborted", Group::Current, "rest", &[]),
        }
    }

    /// The ID in `check -o json`.
    pub(super) fn id(self) -> &'static str {
        self.entry().id
    }

    /// The heading that the check is printed under.
    pub(super) fn group(self) -> Group {
        self.entry().group
    }

    /// The check as a noun: completes "it depends on the …".
    pub(super) fn noun(self) -> &'static str {
        self.entry().noun
    }

    /// The checks that this one depends on directly.
    pub(super) fn depends_on(self) -> &'static [CheckId] {
        self.entry().depends_on
    }

    /// Whether this check depends on another one, directly or not.
    pub(super) fn needs(self, other: CheckId) -> bool {
        self.depends_on().iter().any(|direct| *direct == other || direct.needs(other))
    }
}

#[cfg(test)]
mod tests {
    use super::CheckId;

    #[test]
    fn each_check_is_in_the_list_once_and_after_what_it_depends_on() {
        for (index, check) in CheckId::ALL.into_iter().enumerate() {
            assert_eq!(check as usize, index, "{check:?}");
            assert!(check.depends_on().iter().all(|earlier| (*earlier as usize) < index), "{check:?}");
        }
        assert_eq!(CheckId::ALL.len(), CheckId::Aborted as usize + 1);
        let ids: std::collections::BTreeSet<_> = CheckId::ALL.iter().map(|check| check.id()).collect();
        assert_eq!(ids.len(), CheckId::ALL.len());
        assert!(CheckId::Version.needs(CheckId::Installation) && !CheckId::Guard.needs(CheckId::Service));
    }
}
