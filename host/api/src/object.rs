//! The macro `object!`: one line a field, from which come the struct, its JSON form and (feature `schema`) its schema.
//!
//! Why not derive: the component settings are inlined into ten structs, and serde's `flatten` buffers every value, loses
//! the path of an error and compiles each Kubernetes type a second time. Here a struct asks its inlined groups for a key
//! it does not know itself, so the groups' code exists once, whatever the number of structs.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};

/// What `object!` implements: reading and writing of one field at a time.
pub trait Fields: Default {
    /// Reads the value of `key` if this struct or one of its groups has such a field; false leaves the value unread.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error>;

    /// Writes every field that is set.
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;

    /// Adds the schema of every field.
    #[cfg(feature = "schema")]
    fn describe(properties: &mut crate::schema::Properties);
}

/// How a field is written and what the API server checks; everything but `always` concerns the schema alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rule {
    /// Written even when it is the zero value.
    pub always: bool,
    /// The object is refused without it.
    pub required: bool,
    /// Smallest number allowed.
    pub minimum: Option<i64>,
    /// Biggest number allowed.
    pub maximum: Option<i64>,
    /// The only texts allowed.
    pub values: &'static [&'static str],
    /// Value the API server writes when the field is absent, as JSON.
    pub default: Option<&'static str>,
    /// The key that makes entries of the list distinct.
    pub list_key: Option<&'static str>,
    /// May be null.
    pub nullable: bool,
}

impl Rule {
    /// No rule: optional, any value, written when set.
    pub const NONE: Rule = Rule {
        always: false,
        required: false,
        minimum: None,
        maximum: None,
        values: &[],
        default: None,
        list_key: None,
        nullable: false,
    };

    /// The field is written always.
    pub const fn always(mut self) -> Self {
        self.always = true;
        self
    }

    /// The field must be given; it is written always.
    pub const fn required(mut self) -> Self {
        self.required = true;
        self.always = true;
        self
    }

    /// The field is at least this.
    pub const fn min(mut self, minimum: i64) -> Self {
        self.minimum = Some(minimum);
        self
    }

    /// The field is at most this.
    pub const fn max(mut self, maximum: i64) -> Self {
        self.maximum = Some(maximum);
        self
    }

    /// The field is one of these.
    pub const fn one_of(mut self, values: &'static [&'static str]) -> Self {
        self.values = values;
        self
    }

    /// The API server fills the field with this JSON.
    pub const fn default(mut self, json: &'static str) -> Self {
        self.default = Some(json);
        self
    }

    /// The field may be null, which means absent.
    pub const fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// Entries of the list are told apart by this key.
    pub const fn list_key(mut self, key: &'static str) -> Self {
        self.list_key = Some(key);
        self
    }
}

/// Says whether a value is what an absent field means, so that it need not be written.
pub(crate) trait Zero {
    fn is_zero(&self) -> bool;
}

macro_rules! zero {
    ($($ty:ty => $test:expr;)*) => { $(impl Zero for $ty { fn is_zero(&self) -> bool { let test: fn(&$ty) -> bool = $test; test(self) } })* };
}

zero! {
    bool => |v| !v;
    i32 => |v| *v == 0;
    i64 => |v| *v == 0;
    String => |v| v.is_empty();
    serde_json::Value => |v| v.is_null();
    // Structs without their own "unset" are always written; an optional one is an `Option`.
    k8s_openapi::apimachinery::pkg::api::resource::Quantity => |v| v.0.is_empty();
    crate::status::PdMember => |_| false;
    crate::policy_module::PolicySource => |_| false;
}

impl<T> Zero for Option<T> {
    fn is_zero(&self) -> bool {
        self.is_none()
    }
}

impl<T> Zero for Vec<T> {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Zero for BTreeMap<K, V> {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

/// Reads one value; `null` is the zero value.
pub(crate) fn read<'de, T, A>(map: &mut A) -> Result<T, A::Error>
where
    T: Deserialize<'de> + Default,
    A: MapAccess<'de>,
{
    Ok(map.next_value::<Option<T>>()?.unwrap_or_default())
}

pub(crate) fn deserialize<'de, T: Fields, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(ObjectVisitor(PhantomData))
}

pub(crate) fn serialize<T: Fields, S: Serializer>(object: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    object.write(&mut map)?;
    map.end()
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Fields> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut object = T::default();
        while let Some(key) = map.next_key::<String>()? {
            if !object.take(&key, &mut map)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(object)
    }
}

/// Implements serde's traits by way of [`Fields`].
macro_rules! serde_by_fields {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::object::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::object::deserialize(deserializer)
            }
        }
    };
}

/// Defines structs: `"jsonName" => rust_name: Type { rules },`, and after `+` the groups whose fields are inlined.
macro_rules! object {
    ($(
        $(#[doc = $about:literal])*
        pub struct $name:ident $(+ ($($group:ident: $group_ty:ty),*))? {
            $( $(#[doc = $doc:literal])* $json:literal => $field:ident: $ty:ty $({ $($rule:tt)* })?, )*
        }
    )*) => { $(
        $(#[doc = $about])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $($(
                #[doc = "Fields that stand in this object beside its own."]
                pub $group: $group_ty,
            )*)?
            $( $(#[doc = $doc])* pub $field: $ty, )*
        }

        serde_by_fields!($name);

        impl $crate::object::Fields for $name {
            fn take<'de, A: serde::de::MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
                match key {
                    $( $json => self.$field = $crate::object::read(map)?, )*
                    _ => {
                        $($( if self.$group.take(key, map)? { return Ok(true); } )*)?
                        return Ok(false);
                    }
                }
                #[allow(unreachable_code)]
                Ok(true)
            }

            fn write<M: serde::ser::SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                use $crate::object::Zero as _;
                $({
                    const RULE: $crate::object::Rule = $crate::object::Rule::NONE $(.$($rule)*)?;
                    if RULE.always || !self.$field.is_zero() {
                        map.serialize_entry($json, &self.$field)?;
                    }
                })*
                $($( self.$group.write(map)?; )*)?
                Ok(())
            }

            #[cfg(feature = "schema")]
            fn describe(properties: &mut $crate::schema::Properties) {
                $({
                    const RULE: $crate::object::Rule = $crate::object::Rule::NONE $(.$($rule)*)?;
                    properties.add::<$ty>($json, concat!($($doc, "\n"),*), RULE);
                })*
                $($( <$group_ty as $crate::object::Fields>::describe(properties); )*)?
            }
        }

        #[cfg(feature = "schema")]
        impl $crate::schema::Describe for $name {
            fn schema(kubernetes: &mut $crate::schema::Kubernetes) -> serde_json::Value {
                $crate::schema::object::<$name>(concat!($($about, "\n"),*), kubernetes)
            }
        }
    )* };
}
