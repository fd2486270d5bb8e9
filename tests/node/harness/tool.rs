//! The program as a person runs it at this cluster.

use std::process::{Child, Stdio};

use super::cluster::Cluster;

/// How a run went.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Cluster {
    /// Runs dynamo-cache.
    pub(crate) fn dynamo_cache(&self, arguments: &[&str]) -> Run {
        let ended = self.start_dynamo_cache(arguments).wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let run = Run { code: ended.status.code(), output: text(ended.stdout), errors: text(ended.stderr) };
        println!("---- dynamo-cache {}\n{}{}----", arguments.join(" "), run.output, run.errors);
        run
    }

    /// Starts dynamo-cache, so that the test can read its output while it runs.
    pub(crate) fn start_dynamo_cache(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(env!("CARGO_BIN_EXE_dynamo-cache"));
        command.args(arguments).env_remove("KUBERNETES_SERVICE_HOST").env_remove("NO_COLOR");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}
