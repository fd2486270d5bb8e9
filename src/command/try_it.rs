//! Run the webhook once on this machine: a real server, a real call over HTTPS, and its answer.

use std::fmt::Write as _;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Parser as _;
use serde_json::Value;

use crate::admission::annotation::STATUS;
use crate::admission::reason::Reason;
use crate::cli::{Cli, Command, Try};
use crate::serve;
use crate::serve::Running;
use crate::terminal::visible::visible;
use crate::terminal::{colour, diff, print_exact};

mod call;
mod review;

use call::{Answers, call};
use review::Review;

/// Runs `try`.
///
/// # Errors
/// The file cannot be read, or the server did not answer as expected.
pub(super) fn run(options: &Try) -> anyhow::Result<()> {
    let review = Review::read(options.filename.as_deref())?;
    let answers = serve::runtime().context("failed to start threads")?.block_on(serve_and_call(&review))?;
    print_exact(&report(&review, &answers)?)
}

/// Starts the webhook as `serve --standalone` does, calls it, and stops it.
async fn serve_and_call(review: &Review) -> anyhow::Result<Answers> {
    let arguments =
        ["dynamo-cache", "serve", "--standalone", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let Command::Serve(options) = Cli::try_parse_from(arguments)?.command else {
        anyhow::bail!("failed to read our own command line");
    };
    let running = Running::start(&options).await?;
    let ca = running.ca.clone().context("the server issued no CA")?;
    let answers = call(running.address, &ca, review.to_json()).await;
    running.stop().await?;
    answers
}

/// The change, the messages and the times, as text.
fn report(review: &Review, answers: &Answers) -> anyhow::Result<String> {
    let response = answers.review.get("response").context("the answer has no response")?;
    let mut patched = review.pod.clone();
    if let Some(patch) = response.get("patch").and_then(Value::as_str) {
        let patch: json_patch::Patch = serde_json::from_slice(&STANDARD.decode(patch)?)?;
        json_patch::patch(&mut patched, &patch).context("failed to apply the patch")?;
    }
    let mut report = String::new();
    if review.total > 1 {
        writeln!(report, "The first of {} pods; `dynamo-cache inject -f` shows all.\n", review.total)?;
    }
    let difference = diff::unified(&review.name, &review.pod, &patched, colour::is_wanted());
    report += &difference;
    if difference.is_empty() {
        report += "Nothing changes.\n";
    }
    report += "\nReported by the webhook:\n";
    for warning in response.get("warnings").and_then(Value::as_array).into_iter().flatten() {
        writeln!(report, "  warning  {}", visible(warning.as_str().unwrap_or_default()))?;
    }
    let reasons = response.pointer("/auditAnnotations/reasons").and_then(Value::as_str).unwrap_or_default();
    for reason in Reason::ALL.iter().filter(|reason| reasons.split(',').any(|code| code == reason.code())) {
        writeln!(report, "  reason   {reason}: {}. {}", reason.sentence(), reason.fix())?;
    }
    for (key, value) in response.get("auditAnnotations").and_then(Value::as_object).into_iter().flatten() {
        writeln!(report, "  audit    {key}: {}", visible(value.as_str().unwrap_or_default()))?;
    }
    let annotations = patched.pointer("/metadata/annotations");
    if let Some(status) = annotations.and_then(|annotations| annotations.get(STATUS)?.as_str()) {
        writeln!(report, "  status   {}", visible(status))?;
    }
    writeln!(report, "\nCalled over HTTPS at https://{}/mutate:", answers.address)?;
    writeln!(report, "  first call   {:>10.3?}  with connection and TLS handshake", answers.first)?;
    writeln!(report, "  second call  {:>10.3?}  on the same connection", answers.second)?;
    Ok(report)
}
