//! Options of `stage`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::parse;

/// Options of `stage`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dynamo-cache stage --local=/home/dynamo/.cache/dynamo-cache \\
    --claim=/dynamo-cache-compile --key=vllm-h200-1a2b3c --engine=vllm \\
    --image=registry.example/vllm:1 --ready=http://127.0.0.1:8000/health

The sidecar dynamo-cache-stage of a pod whose compile cache is staged runs this command. It restores the cache from the claim before the engine starts, and publishes it once the engine is ready and writes no more. SIGTERM ends it within a second.")]
pub struct Stage {
    /// The folder of the local cache, in which the engine works.
    #[arg(long, value_name = "DIR")]
    pub local: PathBuf,
    /// The folder where the claim is mounted.
    #[arg(long, value_name = "DIR")]
    pub claim: PathBuf,
    /// The cache's key: image, GPU and command line.
    #[arg(long, value_name = "KEY", value_parser = parse::file_name)]
    pub key: String,
    /// The engine: vllm, sglang or trtllm.
    #[arg(long, value_name = "ENGINE")]
    pub engine: String,
    /// The engine's image.
    #[arg(long, value_name = "IMAGE")]
    pub image: String,
    /// The URL that answers with success once the engine is ready. Without it, the engine counts as ready when its cache has
    /// not changed for ten minutes.
    #[arg(long, value_name = "URL")]
    pub ready: Option<String>,
    /// The pod has the node's network, where the sockets of others are seen, too.
    #[arg(long)]
    pub host_network: bool,
    /// The pod.
    #[command(flatten)]
    pub pod: PodIdentity,
    /// The engine container's limit of ephemeral storage, in bytes; the cache gets half of it.
    #[arg(long, value_name = "BYTES", env = "EPHEMERAL_STORAGE_LIMIT")]
    pub ephemeral_storage_limit: Option<u64>,
    /// How long the engine waits.
    #[command(flatten)]
    pub patience: Patience,
    /// Intervals and delays.
    #[command(flatten)]
    pub timing: StageTiming,
    /// Options of a newer webhook, which are ignored: an error would restart the sidecar again and again.
    #[arg(hide = true, allow_hyphen_values = true, trailing_var_arg = true)]
    pub unknown: Vec<OsString>,
}

/// The pod, as its own variables name it.
#[derive(Clone, Debug, Args)]
pub struct PodIdentity {
    /// The pod's UID.
    #[arg(id = "pod_uid", long = "pod-uid", value_name = "UID", env = "POD_UID", value_parser = parse::uid)]
    pub uid: String,
    /// The pod's name.
    #[arg(id = "pod_name", long = "pod-name", value_name = "NAME", env = "POD_NAME", default_value = "")]
    pub name: String,
    /// The pod's namespace.
    #[arg(
        id = "pod_namespace",
        long = "pod-namespace",
        value_name = "NAME",
        env = "POD_NAMESPACE",
        default_value = ""
    )]
    pub namespace: String,
}

/// How long an engine waits for its cache. Stage and gate have the same values; only tests change them.
#[derive(Clone, Copy, Debug, Args)]
pub struct Patience {
    /// The longest time without progress.
    #[arg(long, value_name = "TIME", hide = true, default_value = "30s", value_parser = parse::time)]
    pub progress_timeout: Duration,
    /// The longest time for a small cache; a larger one gets a second more for each 50 MB.
    #[arg(long, value_name = "TIME", hide = true, default_value = "120s", value_parser = parse::time)]
    pub restore_timeout: Duration,
    /// The longest time for any cache.
    #[arg(long, value_name = "TIME", hide = true, default_value = "600s", value_parser = parse::time)]
    pub longest_restore: Duration,
}

/// Intervals and delays that tests shorten. They are hidden, because the defaults suit every engine.
#[derive(Clone, Copy, Debug, Args)]
pub struct StageTiming {
    /// How long the stage waits for the gate before it concludes that it is not a sidecar. The gate of a sidecar may be late as well,
    /// where each container pulls its image again.
    #[arg(long, value_name = "TIME", hide = true, default_value = "300s", value_parser = parse::time)]
    pub gate_timeout: Duration,
    /// The interval at which the engine's readiness and its sockets are looked at.
    #[arg(long, value_name = "TIME", hide = true, default_value = "1s", value_parser = parse::interval)]
    pub poll_interval: Duration,
    /// How long the engine has to be ready before the first look at its cache.
    #[arg(long, value_name = "TIME", hide = true, default_value = "30s", value_parser = parse::time)]
    pub ready_for: Duration,
    /// How long the cache has to be unchanged before it is packed.
    #[arg(long, value_name = "TIME", hide = true, default_value = "30s", value_parser = parse::time)]
    pub quiet_for: Duration,
    /// The same for an engine whose readiness cannot be asked for. Without an own network, an engine that was not ready for
    /// this long counts as one that died.
    #[arg(long, value_name = "TIME", hide = true, default_value = "600s", value_parser = parse::time)]
    pub long_quiet_for: Duration,
    /// How long a name in progress has to be unchanged until it counts as that of a killed process.
    #[arg(long, value_name = "TIME", hide = true, default_value = "600s", value_parser = parse::time)]
    pub leftover_age: Duration,
    /// The interval at which the cache is counted until it is quiet.
    #[arg(long, value_name = "TIME", hide = true, default_value = "10s", value_parser = parse::interval)]
    pub count_interval: Duration,
    /// The time from the first look to the second.
    #[arg(long, value_name = "TIME", hide = true, default_value = "900s", value_parser = parse::time)]
    pub second_look: Duration,
    /// The time from the first look to the third.
    #[arg(long, value_name = "TIME", hide = true, default_value = "3600s", value_parser = parse::time)]
    pub third_look: Duration,
    /// The pause after an attempt that the engine disturbed; it doubles each time.
    #[arg(long, value_name = "TIME", hide = true, default_value = "60s", value_parser = parse::interval)]
    pub first_retry: Duration,
    /// The longest delay that keeps pods from publishing at the same time.
    #[arg(long, value_name = "TIME", hide = true, default_value = "60s", value_parser = parse::time)]
    pub jitter: Duration,
}
