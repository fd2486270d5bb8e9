//! Where the models come from: the command line, live workloads, files.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::cli::Download;
use crate::command::download::wanted;
use crate::command::download::wanted::Wanted;
use crate::inspect::api::Api;
use crate::inspect::wanted_models;
use crate::inspect::workloads;
use crate::manifest::input::Input;
use crate::manifest::models;
use crate::manifest::models::{ConfigMaps, ObjectModels};
use crate::manifest::pod_templates;

/// What is to be downloaded, notes about names that cannot be read, and the namespace in which, without a cluster: without
/// `--namespace`, that of the workloads.
///
/// # Errors
/// A file cannot be read, or names no model; or the files have workloads of several namespaces.
pub(super) fn offline(options: &Download) -> anyhow::Result<(Vec<Wanted>, Vec<String>, Option<String>)> {
    let mut namespace = options.cluster.namespace.clone();
    if let Some(model) = &options.model {
        return Ok((vec![of_command_line(model, options)], Vec::new(), namespace));
    }
    let (documents, config_maps) = read_files(options)?;
    let objects: Vec<_> = documents.iter().flat_map(|document| models::of_object(document, &config_maps)).collect();
    if namespace.is_none() {
        let all: BTreeSet<_> = objects.iter().filter_map(|object| object.namespace.as_deref()).collect();
        if all.len() > 1 {
            let all = Vec::from_iter(all).join(", ");
            bail!(
                "the files have workloads of several namespaces ({all}), each with its own claim: choose one, -n NAMESPACE"
            );
        }
        namespace = all.first().map(|&one| one.to_owned());
    }
    let (wanted, notes) = collect(objects, Vec::new(), options, namespace.as_deref())?;
    Ok((wanted, notes, namespace))
}

/// What is to be downloaded, and notes about what cannot be read.
///
/// # Errors
/// The API server was not reached or refuses, a workload does not exist, a file cannot be read, or what was named names no model.
pub(super) async fn read(api: &Api, options: &Download) -> anyhow::Result<(Vec<Wanted>, Vec<String>)> {
    if let Some(model) = &options.model {
        return Ok((vec![of_command_line(model, options)], Vec::new()));
    }
    let namespace = &api.namespace;
    let found = if options.from {
        wanted_models::read(api, namespace).await?
    } else if options.workloads.is_empty() {
        let (documents, config_maps) = read_files(options)?;
        wanted_models::with_config_maps(api, namespace, &documents, config_maps, Vec::new()).await?
    } else {
        let mut objects = Vec::new();
        for (kind, name) in &options.workloads {
            let path = workloads::path(api, namespace, kind, name).await?;
            let path = path.with_context(|| format!("{kind} is no kind with pods that the cluster has"))?;
            let object = api.get(&path).await?;
            objects.push(object.with_context(|| format!("there is no {kind}/{name} in namespace {namespace}"))?);
        }
        wanted_models::from_objects(api, namespace, &objects, Vec::new()).await?
    };
    collect(found.objects, found.notes, options, Some(namespace))
}

fn of_command_line(model: &str, options: &Download) -> Wanted {
    Wanted {
        model: model.to_owned(),
        revision: options.revision.clone(),
        include: options.include.clone(),
        exclude: options.exclude.clone(),
        leaves_main: false,
        by: Vec::new(),
    }
}

/// The documents of the files, and the `ConfigMaps` among them.
fn read_files(options: &Download) -> anyhow::Result<(Vec<Value>, ConfigMaps)> {
    let mut documents = Vec::new();
    for input in Input::read_all(&options.files)? {
        documents.extend(input.documents()?.into_iter().map(|document| document.value));
    }
    let mut config_maps = ConfigMaps::default();
    for document in &documents {
        pod_templates::visit(document, &mut |object, kind, _| {
            if kind.is("", "ConfigMap") {
                config_maps.insert(object);
            }
        });
    }
    Ok((documents, config_maps))
}

/// Collects what the objects of the namespace name.
fn collect(
    mut objects: Vec<ObjectModels>,
    mut notes: Vec<String>,
    options: &Download,
    namespace: Option<&str>,
) -> anyhow::Result<(Vec<Wanted>, Vec<String>)> {
    let is_elsewhere =
        |object: &ObjectModels| object.namespace.as_deref().zip(namespace).is_some_and(|(own, asked)| own != asked);
    let elsewhere = objects.iter().filter(|object| is_elsewhere(object));
    notes.extend(elsewhere.map(|object| {
        let own = object.namespace.as_deref().unwrap_or_default();
        format!("{} is of namespace {own}, and is omitted (-n {own})", object.name)
    }));
    objects.retain(|object| !is_elsewhere(object));
    let (wanted, unclear) = wanted::collect(&objects, &options.include, &options.exclude);
    notes.extend(unclear);
    if wanted.is_empty() && !options.from {
        // A workload or a file that is named is expected to name a model.
        let why = if notes.is_empty() { String::new() } else { format!("{}\n", notes.join("\n")) };
        bail!("{why}nothing in it names a model");
    }
    Ok((wanted, notes))
}
