//! The Job of `dynamo-cache download`, as the tests read it.

use serde_json::Value;

/// What is downloaded.
pub(crate) const MODEL: &str = "Qwen/Qwen3-0.6B";
/// A commit of it.
pub(crate) const COMMIT: &str = "c1899de289a04d12100db370d81485cdf75e47ca";

/// Its container.
pub(crate) fn container(job: &Value) -> &Value {
    &job["spec"]["template"]["spec"]["containers"][0]
}

/// A variable of its container.
pub(crate) fn variable<'j>(job: &'j Value, name: &str) -> &'j Value {
    let variables = container(job)["env"].as_array().unwrap();
    variables.iter().find(|variable| variable["name"] == name).unwrap_or(&Value::Null)
}
