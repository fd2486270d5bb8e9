//! Whether the webhook is ready: which conditions are met, and what there is to say of each.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What has to be so before we are ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// The API server trusts what is served, or calls nobody.
    Bundle,
    /// A certificate is served.
    Certificate,
    /// The claims of the cluster are known.
    Claims,
    /// The settings of the namespaces are known.
    Namespaces,
    /// A call of ourselves, as the API server would make it, came through.
    SelfCall,
    /// The StorageClasses of the cluster are known.
    StorageClasses,
}

impl Condition {
    /// All that a replica needs to be ready. Without the StorageClasses a claim that waits for its volume is used: no reason to
    /// wait for a right that an older role does not give.
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
            Condition::SelfCall => "probe",
            Condition::StorageClasses => "storage-classes",
        })
    }
}

/// Where the settings come from, and whether a newer file was refused.
#[derive(Debug)]
pub struct SettingsSource {
    /// The file, or that they are built in.
    pub name: String,
    /// When it was last read and good.
    pub since: Instant,
    /// What is wrong with what the file says now, where it is.
    pub refused: Option<String>,
}

/// How things stand, for whoever asks.
///
/// What was once met stays met: a cluster that cannot be reached for a while makes no replica unready.
#[derive(Debug)]
pub struct Readiness(Mutex<State>);

#[derive(Debug)]
struct State {
    conditions: BTreeMap<Condition, ConditionState>,
    stopping: bool,
    settings: SettingsSource,
}

/// How a condition stands.
#[derive(Debug)]
struct ConditionState {
    /// Whether it was ever met.
    met: bool,
    /// What there is to say of it now; an error where it is not met at this moment.
    now: Result<String, String>,
}

impl Readiness {
    /// Nothing is met yet.
    pub fn new(needed: &[Condition], settings: SettingsSource) -> Self {
        let state = || ConditionState { met: false, now: Err("not yet".to_owned()) };
        let conditions = needed.iter().map(|&condition| (condition, state())).collect();
        Readiness(Mutex::new(State { conditions, stopping: false, settings }))
    }

    /// A condition is met from now on.
    pub fn set_met(&self, condition: Condition) {
        self.set_met_as(condition, "ok".to_owned());
    }

    /// A condition is met from now on, with more to say of it.
    pub fn set_met_as(&self, condition: Condition, how: String) {
        self.change(|standing| _ = standing.conditions.insert(condition, ConditionState { met: true, now: Ok(how) }));
    }

    /// A condition is not met at this moment. Once it was, this tells and makes nobody unready.
    pub fn set_unmet(&self, condition: Condition, why: String) {
        self.change(|standing| {
            let met = standing.conditions.get(&condition).is_some_and(|state| state.met);
            standing.conditions.insert(condition, ConditionState { met, now: Err(why) });
        });
    }

    /// We are not ready from now on, whatever else is so.
    pub fn set_stopping(&self) {
        self.change(|standing| standing.stopping = true);
    }

    /// The settings are what the file says now.
    pub fn settings_accepted(&self) {
        self.change(|standing| (standing.settings.since, standing.settings.refused) = (Instant::now(), None));
    }

    /// The settings stay what they are, although the file says something else now.
    pub fn settings_refused(&self, why: String) {
        self.change(|standing| standing.settings.refused = Some(why));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether we are ready, and how each thing stands, a line each.
    pub fn report(&self) -> (bool, String) {
        let standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = String::new();
        let mut line = |good: bool, text: fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            let _ = writeln!(lines, "[{}]{text}", if good { '+' } else { '-' });
        };
        for (condition, ConditionState { met, now }) in &standing.conditions {
            match now {
                Ok(how) => line(true, format_args!("{condition}: {how}")),
                Err(why) if *met => line(false, format_args!("{condition}: {why}; it was good, so we stay ready")),
                Err(why) => line(false, format_args!("{condition}: {why}")),
            }
        }
        line(
            !standing.stopping,
            format_args!("stop: {}", if standing.stopping { "stopping" } else { "not asked for" }),
        );
        let SettingsSource { name, since, refused } = &standing.settings;
        match refused {
            None => line(true, format_args!("settings: {name}")),
            // It tells, and makes nobody unready: the last good ones are good.
            Some(why) => {
                let age = since.elapsed().as_secs();
                line(false, format_args!("settings: last good from {name}, read {age} s ago; new file refused: {why}"));
            }
        }
        (!standing.stopping && standing.conditions.values().all(|state| state.met), lines)
    }
}
