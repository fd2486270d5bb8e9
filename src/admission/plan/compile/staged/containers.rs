//! The three containers of mode `staged`: one brings the program, one restores and publishes, one lets the engine go.

use std::borrow::Cow;

use super::super::super::super::engine::Engine;
use super::super::super::super::names::{GATE_CONTAINER, STAGE_CONTAINER, TOOL_CONTAINER};
use super::super::super::super::path::Path;
use super::super::super::super::quantity::Quantity;
use super::super::super::container::ContainerPlan;
use super::super::super::init_container::{Identity, InitContainer, InitMount, InitVariable, Source};
use super::super::super::{LOCAL_VOLUME, PlanContext, TOOL_VOLUME};
use super::{CLAIM_PATH, TOOL_PATH, ready, resources};

/// The program, in the image that has it.
const PROGRAM_OF_IMAGE: &str = "/dynamo-cache";

/// The same, once it is copied.
const PROGRAM: &str = "/dynamo-cache-tool/dynamo-cache";

/// The resource of a container's limit on files that are lost with the pod.
const EPHEMERAL_STORAGE: &str = "ephemeral-storage";

/// An image of CUDA asks for every GPU of the node otherwise.
const WITHOUT_GPU: InitVariable<'static> = InitVariable { name: "NVIDIA_VISIBLE_DEVICES", value: Source::Text("void") };

/// All that the containers follow from.
pub(super) struct Stage<'s, 'p, 'c> {
    pub context: &'s PlanContext<'s>,
    pub planned: &'s ContainerPlan<'p, 'c>,
    pub engine: Engine,
    /// Where the local disk is mounted.
    pub path: &'s Path<'static>,
    pub key: &'s str,
    pub claim_volume: Cow<'p, str>,
    /// Whether the claim can only be read.
    pub read_only: bool,
}

impl<'p> Stage<'_, 'p, '_> {
    pub(super) fn containers(self) -> [InitContainer<'p>; 3] {
        let engine = self.planned.container();
        let shares = resources::shares(self.context.pod, self.planned.selected.index, &self.context.settings.staging);
        let image: Cow<'p, str> = Cow::Borrowed(engine.image.as_deref().unwrap_or_default());
        let image_pull_policy = engine.image_pull_policy.as_deref().filter(|policy| !policy.is_empty());
        let context = engine.security_context.as_ref();
        let identity = context.map_or_else(Identity::default, |context| Identity {
            user: context.run_as_user,
            group: context.run_as_group,
            non_root: context.run_as_non_root,
        });
        let local = || mount(LOCAL_VOLUME, self.path.clone(), false);
        let tool = |read_only: bool| mount(TOOL_VOLUME, Path::new(TOOL_PATH), read_only);
        let claim =
            InitMount { volume: self.claim_volume.clone(), path: Path::new(CLAIM_PATH), read_only: self.read_only };
        [
            InitContainer {
                name: TOOL_CONTAINER,
                image: Cow::Owned(self.context.settings.staging.image().to_owned()),
                image_pull_policy: None,
                command: vec![PROGRAM_OF_IMAGE.into(), "copy-program".into(), TOOL_PATH.into()],
                args: Vec::new(),
                variables: Vec::new(),
                mounts: vec![tool(false)],
                resources: shares.map(|shares| shares.tool),
                identity,
                is_sidecar: false,
            },
            InitContainer {
                name: STAGE_CONTAINER,
                image: image.clone(),
                image_pull_policy,
                command: vec![PROGRAM.into(), "stage".into()],
                args: self.args(&image),
                variables: self.variables(),
                mounts: vec![local(), tool(true), claim],
                resources: shares.map(|shares| shares.stage),
                identity,
                is_sidecar: true,
            },
            InitContainer {
                name: GATE_CONTAINER,
                image,
                image_pull_policy,
                command: vec![PROGRAM.into(), "gate".into(), format!("--local={}", escaped(self.path.as_str())).into()],
                args: Vec::new(),
                variables: vec![WITHOUT_GPU],
                mounts: vec![local(), tool(true)],
                resources: shares.map(|shares| shares.gate),
                identity,
                is_sidecar: false,
            },
        ]
    }

    fn args(&self, image: &str) -> Vec<String> {
        let has_network_of_node = self.context.pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true));
        let mut args = vec![
            format!("--local={}", self.path),
            format!("--claim={CLAIM_PATH}"),
            format!("--key={}", self.key),
            format!("--engine={}", self.engine.name()),
            format!("--image={image}"),
        ];
        args.extend(ready::address(self.planned).map(|address| format!("--ready={address}")));
        args.extend(has_network_of_node.then(|| "--host-network".to_owned()));
        args.iter_mut().filter(|argument| argument.contains('$')).for_each(|argument| *argument = escaped(argument));
        args
    }

    fn variables(&self) -> Vec<InitVariable<'p>> {
        let engine = self.planned.container();
        let field = |name, field| InitVariable { name, value: Source::Field(field) };
        let limit = engine.resources.as_ref().and_then(|resources| resources.limit(EPHEMERAL_STORAGE));
        let limit = limit.filter(|limit| *limit > Quantity::ZERO).map(|_| InitVariable {
            name: "EPHEMERAL_STORAGE_LIMIT",
            value: Source::Limit { container: engine.name(), resource: "limits.ephemeral-storage" },
        });
        let mut variables = vec![
            field("POD_UID", "metadata.uid"),
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
        ];
        variables.extend(limit);
        variables.push(WITHOUT_GPU);
        variables
    }
}

fn mount<'p>(volume: &'static str, path: Path<'static>, read_only: bool) -> InitMount<'p> {
    InitMount { volume: Cow::Borrowed(volume), path, read_only }
}

/// The text so that Kubernetes, which reads `$(NAME)` as a variable and `$$` as a dollar, leaves it as it is.
fn escaped(text: &str) -> String {
    text.replace('$', "$$")
}
