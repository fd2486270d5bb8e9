//! A start of a worker: what the engine logged until it was ready, and how long that took.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use crate::FOLDER;
use crate::harness::cluster::wait_or_say;
use crate::harness::namespace::Namespace;
use crate::harness::pod::status;

/// Four workers that compile at the same time on two busy processors take a quarter of an hour.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// A pod that became ready.
pub(crate) struct Start {
    pub(crate) pod: Value,
    log: String,
}

impl Start {
    /// The value of a variable of the container.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        let variables = self.pod["spec"]["containers"][0]["env"].as_array()?;
        variables.iter().find(|variable| variable["name"] == name)?["value"].as_str()
    }

    /// The folder that the webhook named for what this worker compiles.
    pub(crate) fn folder(&self) -> &str {
        self.variable("VLLM_CACHE_ROOT").unwrap_or_else(|| panic!("no VLLM_CACHE_ROOT: {:#}", self.pod))
    }

    /// The caches that the status annotation says are in place.
    pub(crate) fn caches(&self) -> Vec<String> {
        let status = status(&self.pod);
        let caches = status["containers"]["main"].as_array().unwrap_or_else(|| panic!("{status}")).iter();
        caches.map(|cache| cache.as_str().unwrap().to_owned()).collect()
    }

    /// The reason of each cache that the status annotation says was skipped.
    pub(crate) fn skipped(&self) -> BTreeMap<String, String> {
        let status = status(&self.pod);
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
        let skipped = status["skipped"].as_array().into_iter().flatten();
        skipped.map(|entry| (text(entry, "cache"), text(entry, "reason"))).collect()
    }

    /// The artifact of torch.compile that the engine loaded.
    fn loaded(&self) -> Option<&str> {
        self.after("Directly load AOT compilation from path ")
    }

    /// The artifact that it compiled and saved.
    pub(crate) fn saved(&self) -> Option<&str> {
        self.after("saved AOT compiled function to ")
    }

    /// Fails unless the engine found what was compiled before, in the folder that the webhook named.
    #[track_caller]
    pub(crate) fn assert_hit(&self) {
        self.assert_in_folder(self.loaded(), "loaded no artifact");
        assert_eq!(self.saved(), None, "it compiled although it loaded\n{}", self.log);
    }

    /// Fails unless the engine compiled, and saved that in the folder that the webhook named.
    #[track_caller]
    pub(crate) fn assert_cold(&self) {
        self.assert_in_folder(self.saved(), "saved no artifact");
        assert_eq!(self.loaded(), None, "it loaded what it should not have\n{}", self.log);
    }

    #[track_caller]
    fn assert_in_folder(&self, artifact: Option<&str>, otherwise: &str) {
        let artifact = artifact.unwrap_or_else(|| panic!("the engine {otherwise}:\n{}", self.log));
        let folder = self.folder();
        assert!(artifact.starts_with(&format!("{folder}/")), "{artifact} is not below {folder}");
    }

    fn after(&self, words: &str) -> Option<&str> {
        let line = self.log.lines().find_map(|line| line.split_once(words))?.1;
        line.split_whitespace().next()
    }

    /// How often the container ended before it became ready.
    pub(crate) fn restarts(&self) -> u64 {
        self.pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap()
    }

    /// Adds a line to the table of starts, once.
    fn record(&self, what: &str) {
        static RECORDED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
        if !RECORDED.lock().unwrap().insert(self.pod["metadata"]["uid"].to_string()) {
            return;
        }
        let at = |condition: &str| {
            let conditions = self.pod["status"]["conditions"].as_array().unwrap();
            let condition = conditions.iter().find(|found| found["type"] == condition).unwrap();
            serde_json::from_value::<Time>(condition["lastTransitionTime"].clone()).unwrap().0
        };
        let seconds = at("Ready").duration_since(at("PodScheduled")).as_secs();
        let compile = self.after("torch.compile took ").unwrap_or("–");
        let artifact = match (self.loaded(), self.saved()) {
            (Some(_), _) => "loaded",
            (None, Some(_)) => "saved",
            (None, None) => "–",
        };
        let caches = self.caches().join(", ");
        let row = format!("| {what} | {caches} | {seconds} | {compile} | {artifact} |\n");
        print!("{row}");
        let mut table = OpenOptions::new().create(true).append(true).open(format!("{FOLDER}/starts.md")).unwrap();
        table.write_all(row.as_bytes()).unwrap();
    }
}

impl Namespace {
    /// The pods of a Deployment of workers, once it has this number that are ready. Each is a line of the table, with
    /// what it shows.
    #[track_caller]
    pub(crate) fn ready(&self, deployment: &str, number: usize, what: &str) -> Vec<Start> {
        let selector = format!("app={deployment}");
        let ready = wait_or_say(DEADLINE, &format!("{number} pods of {deployment} to be ready"), || {
            let pods = self.read(&["pods", "--selector", &selector]);
            let pods = pods["items"].as_array().unwrap().iter();
            let pods: Vec<Value> = pods
                .filter(|pod| pod["metadata"].get("deletionTimestamp").is_none() && is_ready(pod))
                .cloned()
                .collect();
            if pods.len() == number {
                return Ok(pods);
            }
            Err(format!("{} are", pods.len()))
        });
        let pods = ready.unwrap_or_else(|why| panic!("{why}\n{}", self.described(&selector)));
        let starts = pods.into_iter().map(|pod| {
            let log = self.kubectl(&["logs", pod["metadata"]["name"].as_str().unwrap()]).unwrap();
            let start = Start { pod, log };
            start.record(what);
            start
        });
        starts.collect()
    }

    /// What a person would look at where pods do not become ready.
    fn described(&self, selector: &str) -> String {
        let pods = ["--selector", selector];
        let log = [pods.as_slice(), &["--tail=60", "--prefix", "--all-containers"]].concat();
        let said = [
            [&["describe", "pods"], pods.as_slice()].concat(),
            [&["logs"], log.as_slice()].concat(),
            [&["logs", "--previous"], log.as_slice()].concat(),
        ];
        said.map(|arguments| self.kubectl(&arguments).unwrap_or_else(|why| why)).join("\n")
    }

    /// The one pod of a Deployment, once it is ready.
    #[track_caller]
    pub(crate) fn one_ready(&self, deployment: &str, what: &str) -> Start {
        self.ready(deployment, 1, what).pop().unwrap()
    }

    /// Removes a Deployment, and waits until its pods are gone: each takes 4 GB of memory.
    pub(crate) fn stop(&self, deployment: &str) {
        self.kubectl(&["delete", "deployment", deployment, "--cascade=foreground", "--timeout=3m"]).unwrap();
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
