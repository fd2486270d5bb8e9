//! A container after the patch: its mounts of claims, its variables, and the arguments that were added.

use crate::admission::cache::Cache;
use crate::admission::engine::Engine;
use crate::admission::path::Path;
use crate::admission::plan::{Added, Change};
use crate::admission::pod::{Container, Pod};
use crate::manifest::explanation::stage::Stage;
use crate::manifest::explanation::{ClaimFolder, InPlace};

/// The variables of the model cache.
const MODEL: [&str; 9] = [
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_XET_CACHE",
    "HF_MODULES_CACHE",
    "HF_TOKEN_PATH",
    "HF_HUB_OFFLINE",
    "HF_ENDPOINT",
    "MODELSCOPE_CACHE",
    "DYN_LORA_PATH",
];

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
    /// The containers that restore and publish its local disk, if it works on one.
    stage: Option<Stage>,
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
        let mut state = ContainerState { mounts: Vec::new(), variables: Vec::new(), added: Vec::new(), stage: None };
        if let Some(container) = container {
            state.read(container, &volumes);
            state.stage = Stage::of_pod(pod, container, &volumes);
        }
        for change in changes {
            let (Change::Container { index: at, .. } | Change::InitContainers { of: at, .. }) = change else {
                continue;
            };
            let list = if at.init { pod.init_containers() } else { pod.containers() };
            if list.get(at.position).is_none_or(|changed| changed.name() != name) {
                continue;
            }
            match change {
                Change::Container { added, cache, .. } => state.add(added, *cache, &volumes),
                Change::InitContainers { containers, .. } => {
                    let added = Stage::added(&**containers, &volumes);
                    state.added.extend(added.lines.iter().map(|line| (Cache::Compile, line.clone())));
                    state.stage = Some(added);
                }
                _ => {}
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
        let stage = self.stage.iter().filter(|_| cache == Cache::Compile).flat_map(|stage| stage.lines.iter().cloned());
        InPlace::Present(mounts.chain(variables).chain(stage).collect())
    }

    /// Whether the container works on local disk.
    pub(super) fn is_staged(&self) -> bool {
        self.stage.is_some()
    }

    /// The claim below which a cache's variables point; the innermost mount wins.
    pub(super) fn claim(&self, cache: Cache) -> Option<&str> {
        if !matches!(cache, Cache::Compile | Cache::Model) {
            return None;
        }
        if let Some(stage) = self.stage.as_ref().filter(|_| cache == Cache::Compile) {
            return stage.claim.as_deref();
        }
        let own = self.variables_of(cache);
        self.mounts_of(&own).max_by_key(|mount| mount.path.len()).map(|mount| mount.claim.as_str())
    }

    /// Where on claims the compile cache is, as far as the container shows: a variable whose value comes from elsewhere can lead
    /// to any of its claims.
    pub(super) fn compile_folders(&self) -> Vec<ClaimFolder> {
        if let Some(stage) = &self.stage {
            let claim = stage.claim.clone();
            return claim.map(|claim| ClaimFolder { claim, path: stage.folder.clone() }).into_iter().collect();
        }
        let any = |mount: &Mount| ClaimFolder { claim: mount.claim.clone(), path: None };
        let folders = self.variables_of(Cache::Compile).into_iter().flat_map(|(_, value)| match value {
            Some(value) => self.folder(&Path::new(value)).into_iter().collect::<Vec<_>>(),
            None => self.mounts.iter().map(any).collect(),
        });
        folders.collect()
    }

    /// Where on a claim a directory is; `None` if it is on none.
    fn folder(&self, directory: &Path<'_>) -> Option<ClaimFolder> {
        let covers = self.mounts.iter().filter(|mount| Path::new(&mount.path).covers(directory));
        let mount = covers.max_by_key(|mount| mount.path.len())?;
        let part = mount.part.as_deref().unwrap_or_default();
        let below = directory.as_str().strip_prefix(Path::new(&mount.path).as_str()).unwrap_or_default();
        let path = format!("{}/{}", part.trim_matches('/'), below.trim_matches('/'));
        // The kubelet replaces variables in the part.
        let path = (!part.contains("$(")).then(|| path.trim_matches('/').to_owned());
        Some(ClaimFolder { claim: mount.claim.clone(), path })
    }

    fn variables_of(&self, cache: Cache) -> Vec<&(String, Option<String>)> {
        let is_its_own = |name: &str| match cache {
            Cache::Compile if self.stage.is_some() => Engine::is_staged_variable(name),
            Cache::Compile => Engine::compile_variables().any(|variable| variable == name),
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
