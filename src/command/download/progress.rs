//! The progress of a download Job, read from its objects and its log.

use serde_json::Value;

use crate::admission::quantity::Quantity;
use crate::inspect::job_status::{condition, plain, waiting};

/// The progress of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The Job has completed.
    Done,
    /// The Job has failed, with its error.
    Failed(String),
    /// The Job can get no pod, whatever ends in the namespace.
    Impossible(String),
    /// Bytes downloaded, and bytes in total; 0 if the total is unknown.
    Downloading(u64, u64),
    /// Any other phase, in words.
    Phase(String),
}

/// Reads the progress from a Job, its newest pod, the pod's log, and the newest warning event about either.
pub(super) fn read(job: &Value, pod: Option<&Value>, log: &str, warning: Option<&str>) -> Progress {
    if condition(job, "Complete").is_some() {
        return Progress::Done;
    }
    let pod_error = pod.and_then(failure_message);
    if let Some(failed) = condition(job, "Failed") {
        let own = pod.and_then(out_of_memory).or_else(|| error_in_log(log)).or(pod_error).unwrap_or_default();
        return Progress::Failed(if own.is_empty() { failed } else { own });
    }
    let phase = |words: String| Progress::Phase(words);
    let Some(pod) = pod else {
        let refused = warning.filter(|warning| is_final(warning));
        return refused.map_or_else(|| phase(waiting(None, warning)), |why| Progress::Impossible(why.to_owned()));
    };
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match text("/status/phase") {
        "Failed" => phase(format!("the pod failed and is retried: {}", headline(&pod_error.unwrap_or_default()))),
        "Running" => read_log(log),
        "Succeeded" => phase("finishing".to_owned()),
        _ if is_installing(pod) => phase("installing the client".to_owned()),
        _ => phase(waiting(Some(pod), warning)),
    }
}

/// Whether the API server would refuse the pod tomorrow, too: a policy, a limit, or a quota that is smaller than what the pod asks for.
fn is_final(warning: &str) -> bool {
    let never = [
        "violates PodSecurity",
        "usage per Container is",
        "usage per Pod is",
        "must specify",
        "ratio per Container is",
    ];
    never.iter().any(|words| warning.contains(words)) || exceeds_alone(warning)
}

/// Whether a pod would exceed a quota even if nothing else counted against it:
/// `exceeded quota: NAME, requested: requests.memory=8Gi, used: requests.memory=0, limited: requests.memory=4Gi`.
fn exceeds_alone(warning: &str) -> bool {
    let amounts = |from: &str, to: &str| -> Vec<(String, Quantity)> {
        let list = warning.split_once(from).map_or("", |(_, rest)| rest.split(to).next().unwrap_or_default());
        let each = list.split(',').filter_map(|part| part.trim().split_once('='));
        each.filter_map(|(name, amount)| Some((name.to_owned(), Quantity::read(amount)?))).collect()
    };
    let limited = amounts(", limited: ", "\n");
    let asked = amounts(", requested: ", ", used: ");
    asked.iter().any(|(name, asked)| limited.iter().any(|(of, limit)| of == name && asked > limit))
}

/// A size in words.
pub(super) fn size(bytes: u64) -> String {
    let (units, mut rest, mut unit) = (["B", "KiB", "MiB", "GiB", "TiB"], bytes, 0);
    while rest >= 10 * 1024 && unit + 1 < units.len() {
        (rest, unit) = (rest / 1024, unit + 1);
    }
    format!("{rest} {}", units.get(unit).copied().unwrap_or_default())
}

/// Whether the init container, which installs the client, is running.
fn is_installing(pod: &Value) -> bool {
    pod.pointer("/status/initContainerStatuses/0/state/running").is_some()
}

/// The last progress or phase in the log of a running pod.
fn read_log(log: &str) -> Progress {
    for line in log.lines().rev() {
        if let Some(rest) = line.strip_prefix("progress ") {
            let words: Vec<_> = rest.split(' ').collect();
            if let [done, "of", total, "bytes"] = words.as_slice()
                && let (Ok(done), Ok(total)) = (done.parse::<i64>(), total.parse())
            {
                return Progress::Downloading(u64::try_from(done).unwrap_or_default(), total);
            }
        }
        if let Some(words) = line.strip_prefix("phase ") {
            return Progress::Phase(words.to_owned());
        }
    }
    Progress::Phase("starting".to_owned())
}

/// The end of the container that failed.
fn terminated(pod: &Value) -> Option<&Value> {
    let of_client = pod.pointer("/status/initContainerStatuses/0/state/terminated");
    let of_client = of_client.filter(|terminated| terminated.get("exitCode").is_some_and(|code| code != 0));
    of_client.or_else(|| pod.pointer("/status/containerStatuses/0/state/terminated"))
}

/// What to do about a container that was killed for its memory. Its log, which may have warnings, does not say it.
fn out_of_memory(pod: &Value) -> Option<String> {
    let was_killed = terminated(pod)?.get("reason")? == "OOMKilled";
    was_killed.then(|| "it needs more memory than it may have (OOMKilled); --memory gives it more".to_owned())
}

/// Why the container failed: that it had too little memory, else its last output, else the reason of its end.
fn failure_message(pod: &Value) -> Option<String> {
    if let Some(why) = out_of_memory(pod) {
        return Some(why);
    }
    let terminated = terminated(pod)?;
    let message = terminated.get("message").and_then(Value::as_str).and_then(error_in_log);
    message.or_else(|| terminated.get("reason").and_then(Value::as_str).map(str::to_owned))
}

/// The log without its progress and phase lines; `None` if nothing remains.
fn error_in_log(log: &str) -> Option<String> {
    let is_output =
        |line: &&str| !line.starts_with("progress ") && !line.starts_with("phase ") && !line.trim().is_empty();
    let log = plain(log);
    let lines: Vec<_> = log.lines().filter(is_output).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The first line that begins with "Error", else the last line.
fn headline(text: &str) -> &str {
    let error = text.lines().find(|line| line.starts_with("Error") || line.starts_with("error"));
    error.or(text.lines().last()).unwrap_or_default()
}

impl Progress {
    /// One line; a bar if the total is known.
    pub(super) fn line(&self) -> String {
        const WIDTH: u64 = 30;
        match self {
            Progress::Done => "done".to_owned(),
            Progress::Failed(why) => format!("failed: {why}"),
            Progress::Impossible(why) => format!("no pod: {why}"),
            Progress::Downloading(done, 0) => format!("downloading, {} so far", size(*done)),
            Progress::Downloading(done, total) => {
                let done = done.min(total);
                let full = usize::try_from(done.saturating_mul(WIDTH) / total).unwrap_or_default();
                let empty = usize::try_from(WIDTH).unwrap_or_default() - full;
                let bar = format!("{}{}", "█".repeat(full), "░".repeat(empty));
                format!("{bar} {:>3} %  {} of {}", done.saturating_mul(100) / total, size(*done), size(*total))
            }
            Progress::Phase(words) => words.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Progress, read};

    #[test]
    fn known_totals_are_a_bar_and_everything_else_is_a_phase() {
        let (job, running) = (json!({}), json!({"status": {"phase": "Running"}}));
        let line = |log: &str| read(&job, Some(&running), log, None).line();
        assert_eq!(line(""), "starting");
        assert_eq!(line("phase installing the client\n"), "installing the client");
        assert_eq!(
            line("phase downloading\nprogress 52428800 of 104857600 bytes\nother\n"),
            format!("{}{}  50 %  50 MiB of 100 MiB", "█".repeat(15), "░".repeat(15))
        );
        assert_eq!(line("progress 20480 of 0 bytes\n"), "downloading, 20 KiB so far");
        assert_eq!(line("progress -5 of 10 bytes\n"), format!("{}   0 %  0 B of 10 B", "░".repeat(30)));
        assert_eq!(read(&job, None, "", Some("forbidden: quota")).line(), "no pod: forbidden: quota");
    }

    #[test]
    fn a_pod_that_is_refused_for_good_is_not_waited_for() {
        let line = |warning: &str| read(&json!({}), None, "", Some(warning));
        let quota = |used: &str, limit: &str| {
            format!(
                "pods \"x\" is forbidden: exceeded quota: q, requested: limits.cpu=2,requests.memory=8Gi, used: \
                 limits.cpu=0,requests.memory={used}, limited: limits.cpu=4,requests.memory={limit}"
            )
        };
        for never in [
            "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\"",
            "pods \"x\" is forbidden: maximum memory usage per Container is 4Gi, but limit is 8Gi",
            "pods \"x\" is forbidden: failed quota: q: must specify limits.cpu",
            &quota("0", "4Gi"),
        ] {
            assert_eq!(line(never), Progress::Impossible(never.to_owned()));
        }
        let later = quota("6Gi", "12Gi");
        assert_eq!(line(&later), Progress::Phase(format!("no pod: {later}")));
    }

    #[test]
    fn installing_is_a_phase_and_its_failure_is_that_of_the_job() {
        let pod = |state| {
            json!({"status": {"phase": "Pending", "initContainerStatuses": [{"state": state}],
            "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}]}})
        };
        let line = |state| read(&json!({}), Some(&pod(state)), "", None).line();
        assert_eq!(line(json!({"running": {}})), "installing the client");
        assert_eq!(line(json!({"terminated": {"exitCode": 0}})), "starting its container");
        assert_eq!(
            line(json!({"waiting": {"reason": "ErrImagePull", "message": "none such"}})),
            "ErrImagePull: none such"
        );
        let message = "phase installing the client\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n";
        let mut failed = pod(json!({"terminated": {"exitCode": 1, "reason": "Error", "message": message}}));
        failed["status"]["phase"] = "Failed".into();
        let job = json!({"status": {"conditions": [{"type": "Failed", "status": "True", "message": "too often"}]}});
        let own = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES".to_owned();
        assert_eq!(read(&job, Some(&failed), "", None), Progress::Failed(own));
    }

    #[test]
    fn a_failure_has_the_jobs_own_error() {
        let of_type =
            |kind: &str| json!({"status": {"conditions": [{"type": kind, "status": "True", "message": "too often"}]}});
        let terminated = json!({"state": {"terminated": {"reason": "Error", "message": "progress 1 of 2 bytes\nRepositoryNotFound\n"}}});
        let pod = json!({"status": {"phase": "Failed", "containerStatuses": [terminated]}});
        assert_eq!(read(&of_type("Failed"), Some(&pod), "", None), Progress::Failed("RepositoryNotFound".to_owned()));
        assert_eq!(read(&of_type("Failed"), None, "", None), Progress::Failed("too often".to_owned()));
        assert_eq!(read(&json!({}), Some(&pod), "", None).line(), "the pod failed and is retried: RepositoryNotFound");
        assert_eq!(read(&of_type("Complete"), Some(&pod), "", None), Progress::Done);
        let mut killed = pod.clone();
        killed["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] = "OOMKilled".into();
        let why = "it needs more memory than it may have (OOMKilled); --memory gives it more";
        assert_eq!(read(&of_type("Failed"), Some(&killed), "Warning: slow\n", None), Progress::Failed(why.to_owned()));
        assert_eq!(read(&json!({}), Some(&killed), "", None).line(), format!("the pod failed and is retried: {why}"));
        let log = "\u{1b}[90mHint\u{1b}[0m\nError: Model 'x' not found.\nIf it is private, log in.\n";
        let own = "Hint\nError: Model 'x' not found.\nIf it is private, log in.".to_owned();
        assert_eq!(read(&of_type("Failed"), None, log, None), Progress::Failed(own));
        let terminated = json!({"state": {"terminated": {"message": log}}});
        let pod = json!({"status": {"phase": "Failed", "containerStatuses": [terminated]}});
        let line = read(&json!({}), Some(&pod), "", None).line();
        assert_eq!(line, "the pod failed and is retried: Error: Model 'x' not found.");
        let unbound = json!({"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "unbound claims"}]}});
        assert_eq!(read(&json!({}), Some(&unbound), "", None).line(), "waiting for a node: unbound claims");
    }
}
