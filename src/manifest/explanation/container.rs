//! A container after the patch: its mounts of claims, its variables, and the arguments that were added.

use crate::admission::cache::Cache;
use crate::admission::engine::Engine;
use crate::admission::path::Path;
use crate::admission::plan::{Added, Change};
use crate::admission::pod::{Container, Pod};
use crate::manifest::explanation::InPlace;

/// The variables of the model cache.
const MODEL: [&str; 6] =
    ["HF_HOME", "HF_HUB_CACHE", "HF_XET_CACHE", "HF_MODULES_CACHE", "HF_HUB_OFFLINE", "DYN_LORA_PATH"];

/// The variables of Model Express.
const EXPRESS: [&str; 4] =
    ["MODEL_EXPRESS_URL", "MX_SERVER_ADDRESS", "MODEL_EXPRESS_NO_SHARED_STORAGE", "DYN_TRTLLM_LOAD_FORMAT"];

/// A container after the patch.
pub(super) struct ContainerState {
    mounts: Vec<Mount>,
    /// Name and value; `None` if the value comes from elsewhere (`valueFrom`).
    variables: Vec<(String, Option<String>)>,
    /// What the patch adds: the cache, and a line about the addition.
    added: Vec<(Cache, String)>,
}

/// A mount of a claim.
struct Mount {
    claim: String,
    path: String,
    /// The `subPath` of the claim, if the mount has one.
    part: Option<String>,
}

impl ContainerState {
    /// Reads a container of the pod by name and applies the planned changes to it.
    pub(super) fn new(name: &str, pod: &Pod<'_>, changes: &[Change<'_>]) -> Self {
        let init = pod.init_containers().iter().position(|container| container.name() == name);
        let container = init.and_then(|index| pod.init_containers().get(index));
        let container = container.or_else(|| pod.containers().iter().find(|container| container.name() == name));
        let volume_of = |change: &Change<'_>| match change {
            Change::Volume { name, claim, .. } => Some(((*name).to_owned(), claim.clone())),
            _ => None,
        };
        let own = pod
            .volumes()
            .iter()
            .filter_map(|volume| Some((volume.name.to_string(), volume.claim.as_deref()?.to_owned())));
        let volumes: Vec<(String, String)> = own.chain(changes.iter().filter_map(volume_of)).collect();
        let mut state = ContainerState { mounts: Vec::new(), variables: Vec::new(), added: Vec::new() };
        if let Some(container) = container {
            state.read(container, &volumes);
        }
        for change in changes {
            let Change::Container { index: at, added, cache } = change else { continue };
            let list = if at.init { pod.init_containers() } else { pod.containers() };
            if list.get(at.position).is_some_and(|changed| changed.name() == name) {
                state.add(added, *cache, &volumes);
            }
        }
        state
    }

    fn read(&mut self, container: &Container<'_>, volumes: &[(String, String)]) {
        for mount in container.volume_mounts.iter().flatten() {
            let text = |text: &Option<crate::admission::pod::Text<'_>>| text.as_deref().map(str::to_owned);
            let volume = text(&mount.name).unwrap_or_default();
            let part = text(&mount.sub_path).or_else(|| text(&mount.sub_path_expr)).filter(|part| !part.is_empty());
            self.mount(&volume, text(&mount.mount_path).unwrap_or_default(), part, volumes);
        }
        for variable in container.env.iter().flatten() {
            let name = variable.name.as_deref().unwrap_or_default().to_owned();
            let value = variable.value_from.is_none().then(|| variable.value.as_deref().unwrap_or_default().to_owned());
            self.variables.retain(|(earlier, _)| *earlier != name);
            self.variables.push((name, value));
        }
    }

    fn mount(&mut self, volume: &str, path: String, part: Option<String>, volumes: &[(String, String)]) {
        let claim = volumes.iter().find(|(name, _)| name == volume).map(|(_, claim)| claim.clone());
        self.mounts.extend(claim.map(|claim| Mount { claim, path, part }));
    }

    fn add(&mut self, added: &Added<'_>, cache: Cache, volumes: &[(String, String)]) {
        let line = match added {
            Added::Args(args) => format!("args {}", args.join(" ")),
            Added::Mount { volume, path, sub_path, .. } => {
                let part = sub_path.as_deref().map(str::to_owned);
                let is_of_claim = volumes.iter().any(|(name, _)| name == volume);
                self.mount(volume, path.as_str().to_owned(), part, volumes);
                let last = self.mounts.last().filter(|_| is_of_claim);
                last.map_or_else(|| format!("emptyDir {volume} at {path}"), about_mount)
            }
            Added::Variable { name, value } => {
                self.variables.push(((*name).to_owned(), Some(value.to_string())));
                format!("{name}={value}")
            }
        };
        self.added.push((cache, line));
    }

    /// What puts a cache in place: the additions, else the mounts and variables that the pod already has.
    pub(super) fn in_place(&self, cache: Cache) -> InPlace {
        let added = self.added.iter().filter(|(of, _)| *of == cache).map(|(_, line)| line.clone());
        let added: Vec<_> = added.collect();
        if !added.is_empty() {
            return InPlace::Added(added);
        }
        let own = self.variables_of(cache);
        let mounts = self.mounts_of(&own).map(about_mount);
        let variables = own.iter().map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => format!("{name} from elsewhere"),
        });
        InPlace::Present(mounts.chain(variables).collect())
    }

    /// The claim below which a cache's variables point; the innermost mount wins.
    pub(super) fn claim(&self, cache: Cache) -> Option<&str> {
        if !matches!(cache, Cache::Compile | Cache::Model) {
            return None;
        }
        let own = self.variables_of(cache);
        self.mounts_of(&own).max_by_key(|mount| mount.path.len()).map(|mount| mount.claim.as_str())
    }

    fn variables_of(&self, cache: Cache) -> Vec<&(String, Option<String>)> {
        let compile = Engine::ALL.map(Engine::compile_variables);
        let is_its_own = |name: &str| match cache {
            Cache::Compile => compile.iter().any(|list| list.iter().any(|variable| variable.name == name)),
            Cache::LoadFormat => false,
            Cache::Model => MODEL.contains(&name),
            Cache::ModelExpress => EXPRESS.contains(&name),
        };
        self.variables.iter().filter(|(name, _)| is_its_own(name)).collect()
    }

    /// The mounts at or above the path that one of these variables names. Mounts of a `subPath` do not count.
    fn mounts_of<'p>(&'p self, variables: &[&'p (String, Option<String>)]) -> impl Iterator<Item = &'p Mount> {
        let values: Vec<_> = variables.iter().filter_map(|(_, value)| value.as_deref()).collect();
        let leads = move |path: &str| values.iter().any(|value| Path::new(path).covers(&Path::new(value)));
        self.mounts.iter().filter(move |mount| mount.part.is_none() && leads(&mount.path))
    }
}

fn about_mount(Mount { claim, path, part }: &Mount) -> String {
    match part {
        None => format!("claim {claim} at {path}"),
        Some(part) => format!("{part} of claim {claim} at {path}"),
    }
}
