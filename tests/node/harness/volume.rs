//! Volumes in folders of one node, for claims by their names: the tests need no provisioner.

use serde_json::{Value, json};

use super::namespace::Namespace;
use super::pod::PYTHON;

/// How the kubelet brings a folder of its node into a pod.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// `hostPath`, as it is: like NFS, fsGroup changes nothing in it.
    HostPath,
    /// `local`, whose files get the fsGroup of a pod, like block storage.
    Local,
}

/// A volume that waits for one claim.
#[derive(Clone)]
pub(crate) struct Volume<'a> {
    pub(crate) claim: &'a str,
    pub(crate) kind: Kind,
    pub(crate) access: &'a str,
    /// Of its root, which belongs to root and group 0.
    pub(crate) mode: &'a str,
    /// Who can write to it, as the claim says; empty: it says nothing.
    pub(crate) writable: &'a str,
}

impl<'a> Volume<'a> {
    /// As storage is that is prepared for Dynamo's images, which run in group 0.
    pub(crate) fn prepared(claim: &'a str) -> Self {
        Volume { claim, kind: Kind::HostPath, access: "ReadWriteMany", mode: "0775", writable: "" }
    }

    /// The same, and proven to be writable for Dynamo's user.
    pub(crate) fn proven(claim: &'a str) -> Self {
        Volume { writable: "1000", ..Volume::prepared(claim) }
    }

    /// As a disk is before it is prepared.
    pub(crate) fn of_root(claim: &'a str) -> Self {
        Volume { claim, kind: Kind::Local, access: "ReadWriteMany", mode: "0755", writable: "" }
    }

    /// The claim.
    pub(crate) fn claim(&self) -> Value {
        let spec = json!({"accessModes": [self.access], "resources": {"requests": {"storage": "1Gi"}}});
        let mut metadata = json!({"name": self.claim});
        if !self.writable.is_empty() {
            metadata["annotations"] = json!({"dynamo-cache.io/writable": self.writable});
        }
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    }

    /// Bound to its claim by the claim's name. The class is the one that the claim will have.
    fn object(&self, namespace: &Namespace, host: &str, class: &str) -> Value {
        let Namespace { cluster, name } = namespace;
        let path = format!("{}/{name}/{}", cluster.volumes(), self.claim);
        let kind = match self.kind {
            Kind::HostPath => "hostPath",
            Kind::Local => "local",
        };
        let on_host = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [host]});
        json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": format!("{name}-{}", self.claim), "labels": {"dynamo-cache.test/namespace": name}},
            "spec": {
                "capacity": {"storage": "500Gi"},
                "accessModes": [self.access],
                "storageClassName": class,
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": name, "name": self.claim},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_host]}]}},
                kind: {"path": path},
            },
        })
    }
}

impl Namespace {
    /// Makes folders and volumes, and their claims.
    pub(crate) fn claims(&self, volumes: &[Volume<'_>]) {
        self.volumes(volumes);
        for volume in volumes {
            self.create(&volume.claim());
        }
        self.wait_until_bound();
    }

    /// A claim that is bound to a file system of its own, whose size is as mount takes it (`64m`).
    pub(crate) fn small_claim(&self, volume: &Volume<'_>, size: &str) {
        self.volumes(std::slice::from_ref(volume));
        let folder = format!("/volumes/{}/{}", self.name, volume.claim);
        self.mount_on_host(&format!("mount -t tmpfs -o size={size},mode={},gid=0 tmpfs {folder}", volume.mode));
        self.create(&volume.claim());
        self.wait_until_bound();
    }

    /// Writes into a claim until so many KiB are left.
    pub(crate) fn fill(&self, claim: &str, left_kibibytes: u64) {
        let script = format!(
            "cd /volumes/{}/{claim}; free=$(df --output=avail -k . | tail -n 1)
            head -c $(((free - {left_kibibytes}) * 1024)) /dev/zero >>filled; df .",
            self.name
        );
        self.on_host(&format!("fill-{claim}"), &script);
    }

    /// Runs a script as root that mounts something on the node, below its folder with the volumes.
    fn mount_on_host(&self, script: &str) {
        let mount = json!({"name": "volumes", "mountPath": "/volumes", "mountPropagation": "Bidirectional"});
        let main = json!({
            "name": "main", "image": PYTHON, "command": ["bash", "-ec", script], "volumeMounts": [mount],
            "securityContext": {"privileged": true},
        });
        let volumes = json!([{"name": "volumes", "hostPath": {"path": self.cluster.volumes()}}]);
        let spec = json!({"restartPolicy": "Never", "containers": [main], "volumes": volumes});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mount"}, "spec": spec});
        self.run(&pod).assert_said(&[]);
    }

    /// Makes folders and volumes for claims to come.
    pub(crate) fn volumes(&self, volumes: &[Volume<'_>]) {
        let Namespace { cluster, name } = self;
        let folder = |volume: &Volume<'_>| format!("mkdir -m {} /volumes/{name}/{}", volume.mode, volume.claim);
        let folders: Vec<_> = volumes.iter().map(folder).collect();
        self.on_host(
            &format!("make-folder-of-{}", volumes[0].claim),
            &format!("mkdir -p /volumes/{name}; {}", folders.join("; ")),
        );
        let classes = cluster.read(&["storageclasses"]);
        let is_default =
            |class: &&Value| class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true";
        let class = classes["items"].as_array().unwrap().iter().find(is_default);
        let class = class.and_then(|class| class["metadata"]["name"].as_str()).unwrap_or_default();
        let host = cluster.host();
        for volume in volumes {
            self.create(&volume.object(self, &host, class));
        }
    }

    /// Waits until every claim has its volume.
    pub(crate) fn wait_until_bound(&self) {
        let bound = "--for=jsonpath={.status.phase}=Bound";
        self.kubectl(&["wait", bound, "persistentvolumeclaims", "--all", "--timeout=60s"]).unwrap();
    }

    /// Removes the volumes, and their folders, which would stay on a node that stays.
    pub(crate) fn remove_volumes(&self) {
        let Namespace { cluster, name } = self;
        let selector = format!("dynamo-cache.test/namespace={name}");
        let there = cluster.kubectl(&["delete", "persistentvolumes", "--selector", &selector, "--wait=false"]).unwrap();
        if cluster.image().is_none() && !there.starts_with("No resources") {
            self.on_host("remove-folders", &format!("rm -rf /volumes/{name}"));
        }
    }

    /// Runs a script as root on the node with the volumes.
    pub(crate) fn on_host(&self, name: &str, script: &str) {
        let mount = json!({"name": "volumes", "mountPath": "/volumes"});
        let command = ["bash", "-ec", script];
        let main = json!({"name": "main", "image": PYTHON, "command": command, "volumeMounts": [mount]});
        let path = json!({"path": self.cluster.volumes(), "type": "DirectoryOrCreate"});
        let ended = self.run(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "nodeSelector": {"kubernetes.io/hostname": self.cluster.host()},
                "containers": [main],
                "volumes": [{"name": "volumes", "hostPath": path}],
            },
        }));
        ended.assert_said(&[]);
    }
}
