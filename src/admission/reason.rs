//! Every reason why a pod is untouched, a cache skipped or a setting ignored, with a sentence and a fix.

use std::fmt;

/// Why a pod, a container, a cache or a setting stays as it is.
///
/// The codes are an interface: they stand in the status annotation, in audit annotations and as metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// An annotation of ours that means nothing where it stands.
    AnnotationIgnored,
    /// An annotation of ours whose value does not parse.
    AnnotationInvalid,
    /// A `dynamo-cache.io/` annotation that we do not know.
    AnnotationUnknown,
    /// The claim is a raw block device.
    ClaimBlock,
    /// The claim has lost its volume.
    ClaimLost,
    /// The claim is not in the pod's namespace.
    ClaimNotFound,
    /// The claim waits for a volume that its class does not provide.
    ClaimPending,
    /// The compile cache's claim can only be read.
    ClaimReadOnly,
    /// The claim is `ReadWriteOnce`.
    ClaimSingleNode,
    /// The claim is `ReadWriteOncePod`.
    ClaimSinglePod,
    /// The claim is being deleted.
    ClaimTerminating,
    /// It is not known that the pod's user can write to the claim.
    ClaimUnproven,
    /// `dynamo-cache.io/containers` names a container that the pod does not have.
    ContainerNotFound,
    /// A container asks for a GPU, and no rule selects it.
    ContainerUnknown,
    /// Neither the command nor the image shows which engine the container runs.
    EngineUnknown,
    /// A variable that decides where the cache is cannot be read from the pod.
    EnvNotLiteral,
    /// The user's variables put the cache elsewhere.
    EnvSetByUser,
    /// A label that was meant as an annotation of ours.
    LabelIgnored,
    /// The load format is none that we know.
    LoadFormatInvalid,
    /// The load format was removed from Model Express.
    LoadFormatRemoved,
    /// A static pod's mirror.
    MirrorPod,
    /// The pod is a Model Express server.
    ModelExpressServer,
    /// The engine spans nodes.
    MultiNode,
    /// The pod is no Dynamo component.
    NotAComponent,
    /// The engine has no compile cache that several pods may write to.
    NotShareable,
    /// The pod's annotation opts out.
    OptedOut,
    /// Something else is mounted where the cache would be.
    PathTaken,
    /// The cache would hide files that the container needs.
    PathUnsafe,
    /// The engine's command is inside a shell script or in the image.
    ShellWrapped,
    /// `dynamo-cache.io/skip` or engine `none` names this cache.
    SkippedByUser,
    /// A pod of Dynamo Snapshot.
    Snapshot,
    /// Mode `staged` is for one engine, and the pod has several.
    StagingOneEngine,
    /// The status annotation would make the pod's annotations too large.
    StatusTooLarge,
    /// Streaming needs the model cache in place and writable.
    StreamNeedsModelCache,
    /// Something else is mounted where Model Express streams to.
    StreamPathTaken,
    /// The user has arranged a cache of their own.
    UserCache,
    /// The pod has a user namespace of its own, into which most network file systems cannot be mounted.
    UserNamespace,
    /// Our volume's name belongs to another volume.
    VolumeNameTaken,
    /// A Windows pod.
    Windows,
}

impl Reason {
    /// Every reason, in the order of the codes.
    pub const ALL: [Reason; 39] = [
        Reason::AnnotationIgnored,
        Reason::AnnotationInvalid,
        Reason::AnnotationUnknown,
        Reason::ClaimBlock,
        Reason::ClaimLost,
        Reason::ClaimNotFound,
        Reason::ClaimPending,
        Reason::ClaimReadOnly,
        Reason::ClaimSingleNode,
        Reason::ClaimSinglePod,
        Reason::ClaimTerminating,
        Reason::ClaimUnproven,
        Reason::ContainerNotFound,
        Reason::ContainerUnknown,
        Reason::EngineUnknown,
        Reason::EnvNotLiteral,
        Reason::EnvSetByUser,
        Reason::LabelIgnored,
        Reason::LoadFormatInvalid,
        Reason::LoadFormatRemoved,
        Reason::MirrorPod,
        Reason::ModelExpressServer,
        Reason::MultiNode,
        Reason::NotAComponent,
        Reason::NotShareable,
        Reason::OptedOut,
        Reason::PathTaken,
        Reason::PathUnsafe,
        Reason::ShellWrapped,
        Reason::SkippedByUser,
        Reason::Snapshot,
        Reason::StagingOneEngine,
        Reason::StatusTooLarge,
        Reason::StreamNeedsModelCache,
        Reason::StreamPathTaken,
        Reason::UserCache,
        Reason::UserNamespace,
        Reason::VolumeNameTaken,
        Reason::Windows,
    ];

    /// The code as it is written everywhere: lower case, words joined by dashes.
    pub fn code(self) -> &'static str {
        self.words().0
    }

    /// The reason with a code.
    pub fn named(code: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// What happened, as a sentence without its subject: `<cache> of container <name>: <sentence>`.
    pub fn sentence(self) -> &'static str {
        self.words().1
    }

    /// What to do about it, as an imperative sentence.
    pub fn fix(self) -> &'static str {
        self.words().2
    }

    /// Whether it is about a claim, whose name says more than the reason.
    pub fn concerns_claim(self) -> bool {
        matches!(
            self,
            Reason::ClaimBlock
                | Reason::ClaimLost
                | Reason::ClaimNotFound
                | Reason::ClaimPending
                | Reason::ClaimReadOnly
                | Reason::ClaimSingleNode
                | Reason::ClaimSinglePod
                | Reason::ClaimTerminating
                | Reason::ClaimUnproven
        )
    }

    /// Whether a pod that is untouched for this reason gets no status annotation either.
    pub fn leaves_no_status(self) -> bool {
        matches!(self, Reason::MirrorPod | Reason::NotAComponent | Reason::OptedOut)
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Reason::AnnotationIgnored => (
                "annotation-ignored",
                "this annotation has no effect where it stands",
                "Put it on the pod (for a controller: on its pod template).",
            ),
            Reason::AnnotationInvalid => (
                "annotation-invalid",
                "the annotation's value does not parse, so the next lower level applies",
                "Correct the value; docs/settings.md lists what each setting takes.",
            ),
            Reason::AnnotationUnknown => (
                "annotation-unknown",
                "no setting has this name",
                "Correct the name; docs/settings.md lists the settings.",
            ),
            Reason::ClaimBlock => (
                "claim-block",
                "the claim is a raw block device and cannot be mounted as a directory",
                "Use a claim with volumeMode: Filesystem.",
            ),
            Reason::ClaimLost => {
                ("claim-lost", "the claim has lost its volume", "Delete the claim and create it again, then fill it.")
            }
            Reason::ClaimNotFound => (
                "claim-not-found",
                "the claim is not in the pod's namespace",
                "Create the claim (manifests/examples/claims.yaml) or name another, then restart the pods.",
            ),
            Reason::ClaimPending => (
                "claim-pending",
                "the claim has been Pending for more than ten minutes, and its StorageClass is missing or binds at once",
                "See kubectl describe persistentvolumeclaim for why, or set missingClaim: inject to let pods wait for it.",
            ),
            Reason::ClaimReadOnly => (
                "claim-read-only",
                "the claim can only be read here, and engines die on a compile cache that they cannot write",
                "Use a claim with ReadWriteMany for the compile cache, mounted writable.",
            ),
            Reason::ClaimSingleNode => (
                "claim-single-node",
                "the claim is ReadWriteOnce: pods on other nodes would never start",
                "Use a claim with ReadWriteMany, or set singleNodeClaim: inject where all pods share one node.",
            ),
            Reason::ClaimSinglePod => (
                "claim-single-pod",
                "the claim is ReadWriteOncePod: a second pod would never start",
                "Use a claim with ReadWriteMany.",
            ),
            Reason::ClaimTerminating => (
                "claim-terminating",
                "the claim is being deleted",
                "Wait until it is gone, create it again, then restart the pods.",
            ),
            Reason::ClaimUnproven => (
                "claim-unproven",
                "it is not known that the pod's user can write to the claim, and an engine dies of a cache that it cannot write to",
                "Run dynamo-cache check --write-probe in the namespace, which shows why if it cannot, then restart the pods.",
            ),
            Reason::ContainerNotFound => (
                "container-not-found",
                "the pod has no container of this name",
                "Correct the names in dynamo-cache.io/containers.",
            ),
            Reason::ContainerUnknown => (
                "container-unknown",
                "the container asks for a GPU, and its command shows no engine and no Dynamo module",
                "Name it in dynamo-cache.io/containers if it should get caches, with dynamo-cache.io/engine.",
            ),
            Reason::EngineUnknown => (
                "engine-unknown",
                "neither the command nor the image shows which engine runs here",
                "Set dynamo-cache.io/engine to vllm, sglang or trtllm (none: no compile cache).",
            ),
            Reason::EnvNotLiteral => (
                "env-not-literal",
                "the variable that decides where the cache is has no value that can be read from the pod",
                "Give HF_HOME or HF_HUB_CACHE a plain absolute path, or remove it.",
            ),
            Reason::EnvSetByUser => (
                "env-set-by-user",
                "the container's own variables decide, and they stay",
                "Remove the variables to get the shared cache, or mount the claim where they point.",
            ),
            Reason::LabelIgnored => (
                "label-ignored",
                "a label of this name has no effect, only an annotation",
                "Write it under annotations instead of labels.",
            ),
            Reason::LoadFormatInvalid => (
                "load-format-invalid",
                "there is no such load format",
                "Use modelexpress, mx, runai_streamer or fastsafetensors, or remove the setting for the engine's own loader.",
            ),
            Reason::LoadFormatRemoved => (
                "load-format-removed",
                "Model Express removed this load format; modelexpress is used in its place",
                "Write modelexpress.",
            ),
            Reason::MirrorPod => (
                "mirror-pod",
                "the kubelet creates a static pod's mirror, which cannot be changed here",
                "Change the manifest on the node.",
            ),
            Reason::ModelExpressServer => (
                "model-express-server",
                "the pod is a Model Express server, which arranges its own cache",
                "Nothing to do.",
            ),
            Reason::MultiNode => (
                "multi-node",
                "the engine spans nodes, and a compile cache on a network file system is not known to be safe between ranks",
                "Set compileCache.multiNode: true if you have tested it.",
            ),
            Reason::NotAComponent => (
                "not-a-component",
                "the pod is not a Dynamo component",
                "Annotate it dynamo-cache.io/inject: \"true\" if it is one.",
            ),
            Reason::NotShareable => (
                "not-shareable",
                "the engine has no compile cache that several pods may write to at the same time",
                "Set compileCache.mode: staged, in which the engine works on local disk; the model cache is not affected.",
            ),
            Reason::OptedOut => (
                "opted-out",
                "the pod is annotated dynamo-cache.io/inject: \"false\"",
                "Remove the annotation to opt in again.",
            ),
            Reason::PathTaken => (
                "path-taken",
                "something else is mounted at, above or below the path",
                "Choose another mount path, or unmount what is there.",
            ),
            Reason::PathUnsafe => (
                "path-unsafe",
                "a mount there would hide files that the container needs, or its user could not enter it",
                "Choose another path, for example below /home/dynamo/.cache.",
            ),
            Reason::ShellWrapped => (
                "shell-wrapped",
                "the engine's arguments are inside a script or the image and cannot be added to",
                "Add the flag that the warning names to the command yourself.",
            ),
            Reason::SkippedByUser => (
                "skipped-by-user",
                "the user asked for it to be skipped",
                "Remove it from dynamo-cache.io/skip, or set dynamo-cache.io/engine to an engine.",
            ),
            Reason::Snapshot => (
                "snapshot",
                "Dynamo Snapshot captures and restores this pod, and its mounts must stay as they were captured",
                "Nothing to do.",
            ),
            Reason::StagingOneEngine => (
                "staging-one-engine",
                "mode staged is for pods with exactly one engine container, which names its image; this one stays in mode direct",
                "Nothing to do, or set dynamo-cache.io/containers to the one container that is an engine.",
            ),
            Reason::StatusTooLarge => (
                "status-too-large",
                "the pod's annotations have no room for the status",
                "Shorten the pod's annotations; Kubernetes allows 262,144 bytes.",
            ),
            Reason::StreamNeedsModelCache => (
                "stream-needs-model-cache",
                "weights are streamed to the model cache, which is not in place and writable here",
                "Get the model cache in place (see its own reason), or set sharedStorage: true.",
            ),
            Reason::StreamPathTaken => (
                "stream-path-taken",
                "something else is mounted where Model Express streams to, or a claim above it",
                "Correct modelExpress.home, or unmount what is there.",
            ),
            Reason::UserCache => (
                "user-cache",
                "the user has arranged a cache of their own here, and it stays the cache",
                "Remove its mount to get the shared cache.",
            ),
            Reason::UserNamespace => (
                "user-namespace",
                "the pod has hostUsers: false, and most network file systems cannot be mounted into a user namespace",
                "Remove hostUsers: false, or set userNamespace: inject where the volume's file system has idmapped mounts.",
            ),
            Reason::VolumeNameTaken => (
                "volume-name-taken",
                "another volume or container of the pod has the name of one that the cache needs",
                "Rename the pod's own volume or container.",
            ),
            Reason::Windows => ("windows", "Dynamo has no Windows containers", "Nothing to do."),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn every_reason_stands_in_the_list_once_and_in_order() {
        let codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        let mut sorted = codes.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(codes, sorted);
        assert!(Reason::ALL.is_sorted());
        assert_eq!(Reason::ALL.len(), Reason::Windows as usize + 1);
    }
}
