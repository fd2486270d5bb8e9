//! An init container as JSON.

use std::borrow::Cow;

use serde::Serialize;
use serde::ser::Serializer;

use super::super::plan::{self, InitResources, InitVariable, Source};
use super::super::quantity::Quantity;

/// An init container. What every one of ours has is written beside what the plan says: it drops all rights, and its root file system
/// can only be read, so that the strictest policies take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitContainer<'c>(pub(super) &'c plan::InitContainer<'c>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Container<'c> {
    name: &'c str,
    image: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_pull_policy: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_policy: Option<&'c str>,
    command: &'c [Cow<'static, str>],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    args: &'c [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<Variable<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Resources>,
    security_context: SecurityContext,
    volume_mounts: Vec<VolumeMount<'c>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Variable<'c> {
    name: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_from: Option<ValueFrom<'c>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum ValueFrom<'c> {
    #[serde(rename_all = "camelCase")]
    FieldRef { field_path: &'c str },
    #[serde(rename_all = "camelCase")]
    ResourceFieldRef { container_name: &'c str, resource: &'c str, divisor: &'c str },
}

#[derive(Serialize)]
struct Resources {
    requests: Amounts,
    limits: Amounts,
}

#[derive(Serialize)]
struct Amounts {
    cpu: Quantity,
    memory: Quantity,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SecurityContext {
    #[serde(skip_serializing_if = "Option::is_none")]
    run_as_user: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_as_group: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_as_non_root: Option<bool>,
    allow_privilege_escalation: bool,
    capabilities: Capabilities,
    read_only_root_filesystem: bool,
    seccomp_profile: SeccompProfile,
}

#[derive(Serialize)]
struct Capabilities {
    drop: [&'static str; 1],
}

#[derive(Serialize)]
struct SeccompProfile {
    r#type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VolumeMount<'c> {
    name: &'c str,
    mount_path: &'c str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
}

impl Serialize for InitContainer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = &self.0;
        let mounts = plan.mounts.iter().map(|mount| VolumeMount {
            name: &mount.volume,
            mount_path: mount.path.as_str(),
            read_only: mount.read_only,
        });
        let container = Container {
            name: plan.name,
            image: &plan.image,
            image_pull_policy: plan.image_pull_policy,
            restart_policy: plan.is_sidecar.then_some("Always"),
            command: &plan.command,
            args: &plan.args,
            env: plan.variables.iter().map(variable).collect(),
            resources: plan.resources.map(resources),
            security_context: SecurityContext {
                run_as_user: plan.identity.user,
                run_as_group: plan.identity.group,
                run_as_non_root: plan.identity.non_root,
                allow_privilege_escalation: false,
                capabilities: Capabilities { drop: ["ALL"] },
                read_only_root_filesystem: true,
                seccomp_profile: SeccompProfile { r#type: "RuntimeDefault" },
            },
            volume_mounts: mounts.collect(),
        };
        container.serialize(serializer)
    }
}

fn variable<'c>(variable: &'c InitVariable<'_>) -> Variable<'c> {
    let name = variable.name;
    let (value, value_from) = match &variable.value {
        Source::Text(text) => (Some(*text), None),
        Source::Field(field_path) => (None, Some(ValueFrom::FieldRef { field_path })),
        Source::Limit { container, resource } => {
            (None, Some(ValueFrom::ResourceFieldRef { container_name: container, resource, divisor: "1" }))
        }
    };
    Variable { name, value, value_from }
}

fn resources(InitResources { cpu, memory }: InitResources) -> Resources {
    Resources {
        requests: Amounts { cpu: cpu.request, memory: memory.request },
        limits: Amounts { cpu: cpu.limit, memory: memory.limit },
    }
}
