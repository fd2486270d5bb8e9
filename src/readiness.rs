//! The readiness of the webhook: the conditions that are met, and a report for `/readyz`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A condition of readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// The API server trusts the serving certificate, or no configuration references the Service.
    Bundle,
    /// A certificate is served.
    Certificate,
    /// The claims of the cluster are listed.
    Claims,
    /// The namespaces that opted in are listed.
    Namespaces,
    /// A call by the webhook to itself, made as the API server would make it, succeeded.
    SelfCall,
    /// The StorageClasses of the cluster are listed.
    StorageClasses,
}

impl Condition {
    /// The conditions of a replica with a Service. `StorageClasses` is not among them: without them, a pending claim is
    /// used, and readiness must not depend on a permission that an older role does not grant.
    pub const ALL: [Condition; 5] =
        [Condition::Bundle, Condition::Certificate, Condition::Claims, Condition::Namespaces, Condition::SelfCall];
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Condition::Bundle => "bundle",
            Condition::Certificate => "certificate",
            Condition::Claims => "claims",
            Condition::Namespaces => "namespaces",
            Condition::SelfCall => "self-call",
            Condition::StorageClasses => "storage-classes",
        })
    }
}

/// The source of the settings, and whether a newer file was rejected.
#[derive(Debug)]
pub struct SettingsSource {
    /// The file, or `built in`.
    pub name: String,
    /// When valid settings were last loaded.
    pub since: Instant,
    /// Why the current content of the file is invalid, if it is.
    pub rejected: Option<String>,
}

/// The readiness, shared by all tasks.
///
/// A condition that was once met stays met: a temporary outage of the cluster makes no replica unready.
#[derive(Debug)]
pub struct Readiness(Mutex<State>);

#[derive(Debug)]
struct State {
    conditions: BTreeMap<Condition, ConditionState>,
    stopping: bool,
    settings: SettingsSource,
}

/// The state of a condition.
#[derive(Debug)]
struct ConditionState {
    /// Whether it was ever met.
    met: bool,
    /// The current detail; an error if the condition is not met now.
    now: Result<String, String>,
}

impl Readiness {
    /// No condition is met yet.
    pub fn new(needed: &[Condition], settings: SettingsSource) -> Self {
        let unmet = || ConditionState { met: false, now: Err("not yet".to_owned()) };
        let conditions = needed.iter().map(|&condition| (condition, unmet())).collect();
        Readiness(Mutex::new(State { conditions, stopping: false, settings }))
    }

    /// Sets a condition as met.
    pub fn set_met(&self, condition: Condition) {
        self.set_met_with(condition, "ok".to_owned());
    }

    /// Sets a condition as met, with a detail for the report.
    pub fn set_met_with(&self, condition: Condition, detail: String) {
        self.change(|state| _ = state.conditions.insert(condition, ConditionState { met: true, now: Ok(detail) }));
    }

    /// Sets a condition as not met now. If it was met before, the report has the reason and the replica stays ready.
    pub fn set_unmet(&self, condition: Condition, why: String) {
        self.change(|state| {
            let met = state.conditions.get(&condition).is_some_and(|condition| condition.met);
            state.conditions.insert(condition, ConditionState { met, now: Err(why) });
        });
    }

    /// Sets the webhook as not ready, because it shuts down.
    pub fn set_stopping(&self) {
        self.change(|state| state.stopping = true);
    }

    /// Records that the settings of the file apply.
    pub fn set_settings_accepted(&self) {
        self.change(|state| (state.settings.since, state.settings.rejected) = (Instant::now(), None));
    }

    /// Records that the file is invalid, and that the last valid settings still apply.
    pub fn set_settings_rejected(&self, why: String) {
        self.change(|state| state.settings.rejected = Some(why));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether the webhook is ready, and a report with a line for each condition.
    pub fn report(&self) -> (bool, String) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = String::new();
        let mut line = |good: bool, text: fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            let _ = writeln!(lines, "[{}]{text}", if good { '+' } else { '-' });
        };
        for (condition, ConditionState { met, now }) in &state.conditions {
            match now {
                Ok(detail) => line(true, format_args!("{condition}: {detail}")),
                Err(why) if *met => {
                    line(false, format_args!("{condition}: {why}; it was met before, so this replica stays ready"));
                }
                Err(why) => line(false, format_args!("{condition}: {why}")),
            }
        }
        line(
            !state.stopping,
            format_args!("shutdown: {}", if state.stopping { "in progress" } else { "not requested" }),
        );
        let SettingsSource { name, since, rejected } = &state.settings;
        match rejected {
            None => line(true, format_args!("settings: {name}")),
            // The report has it, but the replica stays ready with the last valid settings.
            Some(why) => {
                let age = since.elapsed().as_secs();
                line(
                    false,
                    format_args!(
                        "settings: last valid from {name}, loaded {age} s ago; the new file is invalid: {why}"
                    ),
                );
            }
        }
        (!state.stopping && state.conditions.values().all(|condition| condition.met), lines)
    }
}
