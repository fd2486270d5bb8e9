//! A volume of a pod, whatever its source.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Text;
use super::text::keep_last;

/// A volume of the pod.
#[derive(Debug, Default)]
pub struct Volume<'a> {
    /// The name.
    pub name: Text<'a>,
    /// Its source's claim, where it is one.
    pub claim: Option<Text<'a>>,
    /// Its source's ConfigMap, where it is one.
    pub config_map: Option<Text<'a>>,
    /// Whether it is a folder on the node's disk.
    pub is_empty_dir: bool,
    /// Whether what is written to it is lost with the pod.
    pub ends_with_pod: bool,
    /// Whether the source can only be read, whatever a mount says.
    pub read_only: bool,
}

/// What the many kinds of volume sources have in common. A field beside them that is no object, as a later Kubernetes
/// may have, is a source with nothing in it.
#[derive(Default)]
struct Source<'a> {
    claim_name: Option<Text<'a>>,
    name: Option<Text<'a>>,
    read_only: Option<bool>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Source<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsSource<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for AsSource<'a> {
            type Value = Source<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a volume source")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut source = Source::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match &*key {
                        "claimName" => source.claim_name = map.next_value()?,
                        "name" => source.name = map.next_value()?,
                        "readOnly" => source.read_only = map.next_value()?,
                        _ => _ = map.next_value::<IgnoredAny>()?,
                    }
                }
                Ok(source)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Source::default())
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Source::default())
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Source::default())
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Source::default())
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Source::default())
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Source::default())
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Source::default())
            }
        }
        deserializer.deserialize_any(AsSource(PhantomData))
    }
}

/// Sources that the kubelet mounts read-only always.
const READ_ONLY_SOURCES: [&str; 5] = ["configMap", "downwardAPI", "image", "projected", "secret"];

impl<'de: 'a, 'a> Deserialize<'de> for Volume<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsVolume<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for AsVolume<'a> {
            type Value = Volume<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a volume")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut volume = Volume::default();
                let mut sources: Vec<(Text<'de>, Source<'de>)> = Vec::new();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if &*key == "name" {
                        volume.name = map.next_value()?;
                    } else {
                        sources.push((key, map.next_value()?));
                    }
                }
                keep_last(&mut sources);
                for (key, source) in sources {
                    volume.read_only |= source.read_only.unwrap_or(false) || READ_ONLY_SOURCES.contains(&&*key);
                    volume.is_empty_dir |= &*key == "emptyDir";
                    volume.ends_with_pod |= matches!(&*key, "emptyDir" | "ephemeral");
                    match &*key {
                        "configMap" => volume.config_map = source.name,
                        "persistentVolumeClaim" => volume.claim = source.claim_name,
                        _ => {}
                    }
                }
                Ok(volume)
            }
        }
        deserializer.deserialize_map(AsVolume(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::Volume;

    #[test]
    fn of_two_sources_with_one_name_the_last_counts() {
        let json =
            r#"{"persistentVolumeClaim":{"claimName":"a","readOnly":true},"name":"v","persistentVolumeClaim":{}}"#;
        let volume: Volume<'_> = serde_json::from_str(json).unwrap();
        assert!(volume.claim.is_none() && !volume.read_only, "{volume:?}");
    }
}
