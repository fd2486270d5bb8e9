//! Claims of other namespaces with the same storage behind them: what is removed from one is gone from all.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::inspect::api::{Api, Error};

/// The volumes of the cluster.
pub(crate) struct Volumes(Vec<Value>);

impl Volumes {
    /// Lists them; or says why the user may not.
    ///
    /// # Errors
    /// The API server was not reached.
    pub(crate) async fn list(api: &Api) -> Result<Result<Volumes, String>, Error> {
        match api.list("/api/v1/persistentvolumes").await {
            Err(error @ Error::Unreachable { .. }) => Err(error),
            listed => Ok(listed.map(Volumes).map_err(|error| error.to_string())),
        }
    }

    /// The claims of other namespaces, as NAMESPACE/NAME, that are bound to the same storage as this claim.
    pub(crate) fn others(&self, namespace: &str, claim: &Value) -> BTreeSet<String> {
        let name = claim.pointer("/spec/volumeName").and_then(Value::as_str).unwrap_or_default();
        let volume = self.0.iter().find(|volume| text(volume, "/metadata/name") == name);
        let Some(storage) = volume.and_then(storage) else { return BTreeSet::new() };
        let same = self.0.iter().filter(|other| self::storage(other).as_ref() == Some(&storage));
        let bound = same.filter(|other| text(other, "/status/phase") == "Bound");
        let claims = bound.map(|other| (text(other, "/spec/claimRef/namespace"), text(other, "/spec/claimRef/name")));
        let others = claims.filter(|(other, name)| *other != namespace && !other.is_empty() && !name.is_empty());
        others.map(|(other, name)| format!("{other}/{name}")).collect()
    }
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// What is behind a volume: the same for two volumes of the same files. Several volumes of one export have each a handle of their own
/// with some drivers of NFS, so server and share count there.
fn storage(volume: &Value) -> Option<Value> {
    let at = |pointer: &str| volume.pointer(pointer).cloned();
    if let (Some(driver), Some(server), Some(share)) =
        (at("/spec/csi/driver"), at("/spec/csi/volumeAttributes/server"), at("/spec/csi/volumeAttributes/share"))
    {
        return Some(json!([driver, server, share, at("/spec/csi/volumeAttributes/subdir")]));
    }
    if let Some(handle) = at("/spec/csi/volumeHandle") {
        return Some(json!([at("/spec/csi/driver"), handle]));
    }
    if let Some(server) = at("/spec/nfs/server") {
        return Some(json!([server, at("/spec/nfs/path")]));
    }
    at("/spec/hostPath/path").or_else(|| at("/spec/local/path"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Volumes;

    fn volume(name: &str, claim: &str, mut spec: Value) -> Value {
        let (namespace, claim) = claim.split_once('/').unwrap();
        spec["claimRef"] = json!({"namespace": namespace, "name": claim});
        json!({"metadata": {"name": name}, "spec": spec, "status": {"phase": "Bound"}})
    }

    #[test]
    fn claims_of_other_namespaces_are_found_by_what_is_behind_them() {
        let nfs = |path: &str| json!({"nfs": {"server": "s", "path": path}});
        let handle = |handle: &str| json!({"csi": {"driver": "d", "volumeHandle": handle}});
        let share = |handle: &str, share: &str| {
            let attributes = json!({"server": "s", "share": share});
            json!({"csi": {"driver": "nfs", "volumeHandle": handle, "volumeAttributes": attributes}})
        };
        let volumes = Volumes(vec![
            volume("a", "mine/models", nfs("/m")),
            volume("b", "theirs/models", nfs("/m")),
            volume("c", "mine/again", nfs("/m")),
            volume("d", "theirs/other", nfs("/n")),
            volume("e", "mine/compiled", handle("1")),
            volume("f", "theirs/compiled", handle("2")),
            volume("g", "mine/share", share("1", "/x")),
            volume("h", "theirs/share", share("2", "/x")),
            json!({"metadata": {"name": "broken"}}),
        ]);
        let others = |volume: &str| {
            let claim = json!({"spec": {"volumeName": volume}});
            volumes.others("mine", &claim).into_iter().collect::<Vec<_>>()
        };
        assert_eq!((others("a"), others("c")), (vec!["theirs/models".to_owned()], vec!["theirs/models".to_owned()]));
        assert_eq!((others("e"), others("g")), (Vec::new(), vec!["theirs/share".to_owned()]));
        assert_eq!((others("broken"), others("none")), (Vec::new(), Vec::new()));
    }
}
