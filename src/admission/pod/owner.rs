//! The controller among a pod's owners, borrowed like everything else.

use std::fmt;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

use super::Text;

/// An entry of `ownerReferences`.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner<'a> {
    /// Its group and version.
    #[serde(borrow)]
    pub api_version: Option<Text<'a>>,
    /// Its kind.
    #[serde(borrow)]
    pub kind: Option<Text<'a>>,
    /// Its name.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// What distinguishes it from earlier and later owners of that name.
    #[serde(borrow)]
    pub uid: Option<Text<'a>>,
    controller: Option<bool>,
}

/// The one of a pod's owners that manages it; the others are read over, and nothing is allocated for any.
#[derive(Clone, Debug, Default)]
pub struct Controller<'a>(pub Option<Owner<'a>>);

/// Kind and name: `ReplicaSet/worker-5d4f`.
impl fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_deref().unwrap_or("?"), self.name.as_deref().unwrap_or("?"))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Controller<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsOwners;
        impl<'de> Visitor<'de> for AsOwners {
            type Value = Controller<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut owners: A) -> Result<Self::Value, A::Error> {
                let mut controller = None;
                while let Some(owner) = owners.next_element::<Option<Owner<'de>>>()? {
                    // The API server takes one at most.
                    controller = controller.or(owner.filter(|owner| owner.controller == Some(true)));
                }
                Ok(Controller(controller))
            }
        }
        deserializer.deserialize_seq(AsOwners)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::{Pod, Text};

    #[test]
    fn the_controller_is_found_among_owners_and_borrowed() {
        let owners = r#"[null, {"kind":"Node","name":"n"}, {"kind":"Job","name":"j","controller":false},
            {"apiVersion":"apps/v1","kind":"ReplicaSet","name":"w-5","uid":"u","controller":true,"blockOwnerDeletion":true}]"#;
        let json = format!(r#"{{"metadata":{{"ownerReferences":{owners}}}}}"#);
        let pod: Pod<'_> = serde_json::from_str(&json).unwrap();
        let controller = pod.controller().unwrap();
        assert_eq!(controller.to_string(), "ReplicaSet/w-5");
        assert!(matches!(controller.uid, Some(Text(Cow::Borrowed("u")))));
        for bare in ["null", "[]", r#"[{"kind":"Node"}]"#] {
            let json = format!(r#"{{"metadata":{{"ownerReferences":{bare}}}}}"#);
            let pod: Pod<'_> = serde_json::from_str(&json).unwrap();
            assert!(pod.controller().is_none(), "{bare}");
        }
    }
}
