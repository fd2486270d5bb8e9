//! Objects by the names of their fields alone: serde would take a list of the values for one too, and what we add by name
//! would not apply to it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// One of serde's readers (a deserializer, a visitor, a seed, the members of an object or a list), which hands objects to
/// their visitors as maps, and everything that it reads inside of it to another `StructAsMap`.
#[derive(Debug)]
pub(in super::super) struct StructAsMap<T>(pub(in super::super) T);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for StructAsMap<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(StructAsMap(visitor))
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(StructAsMap(visitor))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(StructAsMap(visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(StructAsMap(visitor))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_seq(StructAsMap(visitor))
    }

    // These two have ways of their own through serde_json: nothing is looked at, and the text is taken as it stands.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_ignored_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct enum identifier
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for StructAsMap<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<V::Value, E> {
        self.0.visit_bool(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<V::Value, E> {
        self.0.visit_i64(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<V::Value, E> {
        self.0.visit_u64(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        self.0.visit_f64(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<V::Value, E> {
        self.0.visit_str(value)
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<V::Value, E> {
        self.0.visit_borrowed_str(value)
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(StructAsMap(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(StructAsMap(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(StructAsMap(map))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for StructAsMap<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(StructAsMap(seed))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for StructAsMap<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(StructAsMap(seed))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for StructAsMap<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(StructAsMap(deserializer))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pod;

    #[test]
    fn a_list_of_values_is_no_object() {
        for pod in [
            "[]",
            r#"{"metadata":["name"]}"#,
            r#"{"spec":[null,[]]}"#,
            r#"{"spec":{"containers":[["main","image"]]}}"#,
            r#"{"spec":{"containers":[{"env":[["NAME","value"]]}]}}"#,
            r#"{"spec":{"securityContext":[1000]}}"#,
        ] {
            let error = serde_json::from_str::<Pod<'_>>(pod).expect_err(pod).to_string();
            assert!(error.contains("invalid type: sequence, expected struct"), "{pod}: {error}");
        }
        let unknown = r#"{"spec":{"overhead":["x"],"volumes":[{"name":"v","later":[1]}]}}"#;
        assert!(serde_json::from_str::<Pod<'_>>(unknown).is_ok());
    }
}
