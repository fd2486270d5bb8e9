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

/// The documents of the files, and what they say of themselves.
#[derive(Default)]
pub(super) struct Files {
    documents: Vec<Value>,
    config_maps: ConfigMaps,
    /// The namespace of `--namespace`, else that of the workloads; `None` if neither says any.
    pub(super) namespace: Option<String>,
}

impl Files {
    /// Reads the files of `-f`, if there are any.
    ///
    /// # Errors
    /// A file cannot be read; or without `--namespace`, the files have workloads of several namespaces.
    pub(super) fn read(options: &Download) -> anyhow::Result<Self> {
        let mut files = Files { namespace: options.cluster.namespace.clone(), ..Files::default() };
        for input in Input::read_all(&options.files)? {
            files.documents.extend(input.documents()?.into_iter().map(|document| document.value));
        }
        for document in &files.documents {
            pod_templates::visit(document, &mut |object, kind, _| {
                if kind.is("", "ConfigMap") {
                    files.config_maps.insert(object);
                }
            });
        }
        if files.namespace.is_none() {
            let objects = files.objects();
            let all: BTreeSet<_> = objects.iter().filter_map(|object| object.namespace.as_deref()).collect();
            if all.len() > 1 {
                let all = Vec::from_iter(all).join(", ");
                bail!(
                    "the files have workloads of several namespaces ({all}), each with its own claim: choose one, -n NAMESPACE"
                );
            }
            files.namespace = all.first().map(|&one| one.to_owned());
        }
        Ok(files)
    }

    fn objects(&self) -> Vec<ObjectModels> {
        self.documents.iter().flat_map(|document| models::of_object(document, &self.config_maps)).collect()
    }
}

/// What is to be downloaded, and notes about names that cannot be read, without a cluster.
///
/// # Errors
/// The files name no model.
pub(super) fn offline(options: &Download, files: &Files) -> anyhow::Result<(Vec<Wanted>, Vec<String>)> {
    if let Some(model) = &options.model {
        return Ok((vec![of_command_line(model, options)], Vec::new()));
    }
    collect(files.objects(), Vec::new(), options, files.namespace.as_deref())
}

/// What is to be downloaded, and notes about what cannot be read.
///
/// # Errors
/// The API server was not reached or refuses, a workload does not exist, or what was named names no model.
pub(super) async fn read(api: &Api, options: &Download, files: Files) -> anyhow::Result<(Vec<Wanted>, Vec<String>)> {
    if let Some(model) = &options.model {
        return Ok((vec![of_command_line(model, options)], Vec::new()));
    }
    let namespace = &api.namespace;
    let found = if options.from {
        wanted_models::read(api, namespace).await?
    } else if options.workloads.is_empty() {
        wanted_models::with_config_maps(api, namespace, &files.documents, files.config_maps, Vec::new()).await?
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
