//! Changes pods in files as the webhook would change them in the cluster.

mod print;

use std::collections::BTreeSet;

use crate::cli::Inject;
use crate::manifest::context::World;
use crate::manifest::inject;
use crate::manifest::inject::Changed;
use crate::manifest::input::Input;
use crate::terminal::{note, print_exact};
use crate::yaml;

/// Runs `inject`. Nothing is printed before everything has been read and decided.
///
/// # Errors
/// Which file cannot be read, and where in it.
pub(super) fn run(options: &Inject) -> anyhow::Result<()> {
    let (world, about_settings) = World::told(options.config.as_deref(), &options.known)?;
    let input = Input::read(&options.filename)?;
    let mut unused: BTreeSet<&str> = options.pod_template.iter().map(String::as_str).collect();
    let mut changed = Vec::new();
    for (index, document) in input.documents()?.into_iter().enumerate() {
        let at = document.at;
        let change = inject::change(document.value, &world, &options.pod_template, &mut unused);
        changed.push(change.map_err(|error| {
            let at = match &error {
                inject::Error::NotAPod { pointer, .. } => yaml::find(&input.text, index, pointer).unwrap_or(at),
                _ => at,
            };
            input.wrong([format!("{at}: {error}")])
        })?);
    }
    let about_documents = changed.iter().flat_map(|changed| changed.of_operators.iter().chain(&changed.told)).cloned();
    let nothing = changed.is_empty().then(|| format!("{}: there is no document in it", input.name));
    let about_unknown = about_unknown(&changed);
    let about_pointers = unused
        .into_iter()
        .map(|pointer| format!("--pod-template {pointer}: no document of an unknown kind has a pod template there"));
    for line in
        about_settings.into_iter().chain(about_documents).chain(nothing).chain(about_unknown).chain(about_pointers)
    {
        note(&line);
    }
    print_exact(&print::documents(changed, options.output))
}

/// A line about all objects that may have pods, and of which it is not known where.
fn about_unknown(changed: &[Changed]) -> Option<String> {
    const NAMED: usize = 5;
    let unknown: Vec<_> = changed.iter().flat_map(|changed| &changed.unknown).map(String::as_str).collect();
    let named = unknown.get(..NAMED).unwrap_or(&unknown).join(", ");
    let more = match unknown.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!unknown.is_empty())
        .then(|| format!("no pod template is known in {named}{more}; --pod-template POINTER names one"))
}
