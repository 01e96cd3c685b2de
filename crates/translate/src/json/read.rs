//! Reading: strings that borrow where they can, and objects that note their unknown members.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON value that is only carried, with the bytes its author wrote.
pub(crate) type Json<'a> = Cow<'a, RawValue>;

/// A string of a body, borrowed unless it had escapes in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Str<'a>(Cow<'a, str>);

impl<'a> Str<'a> {
    /// A part of the text; empty if there is no such part.
    pub(crate) fn slice(&self, from: usize) -> Str<'a> {
        match &self.0 {
            Cow::Borrowed(text) => Str(Cow::Borrowed(text.get(from..).unwrap_or_default())),
            Cow::Owned(text) => text.get(from..).unwrap_or_default().to_owned().into(),
        }
    }

    /// Adds to the text, which becomes owned.
    pub(crate) fn push_str(&mut self, more: &str) {
        self.0.to_mut().push_str(more);
    }

    /// The same text, borrowed from this one.
    pub(crate) fn by_ref(&self) -> Str<'_> {
        Str(Cow::Borrowed(&self.0))
    }
}

impl Deref for Str<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Str<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for Str<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Str<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StrVisitor<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for StrVisitor<'a> {
            type Value = Str<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Str<'a>, E> {
                Ok(Str(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Str<'a>, E> {
                Ok(Str(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E>(self, text: String) -> Result<Str<'a>, E> {
                Ok(Str(Cow::Owned(text)))
            }
        }

        deserializer.deserialize_str(StrVisitor(PhantomData))
    }
}

/// A member that is there but not looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// A string, or a list of `T`: the two ways in which all dialects write content.
#[derive(Clone, Debug)]
pub(crate) enum OneOrMany<'a, T> {
    One(Str<'a>),
    Many(Vec<T>),
    /// An object: some blocks of server tools hold one.
    Other,
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrManyVisitor<'a, T>(PhantomData<(&'a (), T)>);

        impl<'de: 'a, 'a, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<'a, T> {
            type Value = OneOrMany<'a, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(OneOrMany::One(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(OneOrMany::One(text.to_owned().into()))
            }

            fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
                Ok(OneOrMany::One(text.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut many = Vec::new();
                while let Some(next) = seq.next_element()? {
                    many.push(next);
                }
                Ok(OneOrMany::Many(many))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(OneOrMany::Other)
            }
        }

        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

/// A word where that will do, an object otherwise.
#[derive(Clone, Debug)]
pub(crate) enum WordOr<'a, T> {
    Word(Str<'a>),
    Object(Box<T>),
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for WordOr<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrVisitor<'a, T>(PhantomData<(&'a (), T)>);

        impl<'de: 'a, 'a, T: Deserialize<'de>> Visitor<'de> for WordOrVisitor<'a, T> {
            type Value = WordOr<'a, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an object")
            }

            fn visit_borrowed_str<E>(self, word: &'de str) -> Result<Self::Value, E> {
                Ok(WordOr::Word(word.into()))
            }

            fn visit_str<E>(self, word: &str) -> Result<Self::Value, E> {
                Ok(WordOr::Word(word.to_owned().into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let object = T::deserialize(MapAccessDeserializer::new(map))?;
                Ok(WordOr::Object(Box::new(object)))
            }
        }

        deserializer.deserialize_any(WordOrVisitor(PhantomData))
    }
}

/// A count that a provider states. Whatever is not a count (null, -1, a text) is no count: a wrong
/// figure must not spoil an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) Option<u64>);

impl Count {
    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }

    pub(crate) fn get(self) -> u64 {
        self.0.unwrap_or(0)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let whole = raw.parse().ok();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates; negative figures are left out"
        )]
        let rounded = || {
            raw.parse::<f64>()
                .ok()
                .filter(|f| *f >= 0.0)
                .map(|f| f as u64)
        };
        Ok(Self(whole.or_else(rounded)))
    }
}

/// The members of an object, in order, each value as it is written.
pub(crate) fn members(json: &str) -> Result<Vec<(Str<'_>, &RawValue)>, serde_json::Error> {
    struct MembersVisitor;

    impl<'de> Visitor<'de> for MembersVisitor {
        type Value = Vec<(Str<'de>, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(json);
    let members = deserializer.deserialize_map(MembersVisitor)?;
    deserializer.end()?;
    Ok(members)
}

/// Reads one JSON object, which must fill the whole text.
///
/// Serde would fill a struct from an array, too; white space before the object is skipped, since
/// some providers send blank lines to keep a connection open.
pub(crate) fn read_object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, serde_json::Error> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(serde_json::Error::custom("expected a JSON object"));
    }
    // Once for the whole body is much faster than string by string.
    let text = std::str::from_utf8(body).map_err(serde_json::Error::custom)?;
    serde_json::from_str(text)
}

/// The text as a JSON value of the given kind's first byte, or `None` if it is not one.
pub(crate) fn owned_json(text: Str<'_>, first: u8) -> Result<Json<'_>, Str<'_>> {
    if !text.trim_ascii_start().as_bytes().starts_with(&[first]) {
        return Err(text);
    }
    match text.0 {
        Cow::Borrowed(borrowed) => serde_json::from_str::<&RawValue>(borrowed)
            .map(Cow::Borrowed)
            .map_err(|_| borrowed.into()),
        // A copy is cheaper than to parse the text twice, for it must not be lost if it is no JSON.
        Cow::Owned(owned) => serde_json::from_str::<Box<RawValue>>(&owned)
            .map(Cow::Owned)
            .map_err(|_| owned.into()),
    }
}

/// A JSON value of the code's own. `None` cannot happen for text that is JSON.
pub(crate) fn static_json(text: &'static str) -> Json<'static> {
    serde_json::from_str::<&RawValue>(text)
        .map_or_else(|_| Cow::Borrowed(RawValue::NULL), Cow::Borrowed)
}

/// Skips a value; tells whether it said anything.
pub(crate) fn skip_value<'de, A: MapAccess<'de>>(map: &mut A) -> Result<bool, A::Error> {
    map.next_value::<Option<IgnoredAny>>()
        .map(|value| value.is_some())
}

/// Declares a JSON object with the members that are understood, each of which may be missing or
/// null, and may have several names. Names of further members that are not null are collected in `unknown`.
macro_rules! json_object {
    (
        $(#[$meta:meta])*
        struct $name:ident<'a> { $($field:ident = $($key:literal)|+: $type:ty,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default)]
        pub(crate) struct $name<'a> {
            $(pub(crate) $field: Option<$type>,)*
            pub(crate) unknown: Vec<$crate::json::Str<'a>>,
        }

        impl<'de: 'a, 'a> serde::Deserialize<'de> for $name<'a> {
            fn deserialize<D>(deserializer: D) -> Result<Self, D::Error>
            where
                D: serde::de::Deserializer<'de>,
            {
                struct ObjectVisitor<'a>(std::marker::PhantomData<&'a ()>);

                impl<'de: 'a, 'a> serde::de::Visitor<'de> for ObjectVisitor<'a> {
                    type Value = $name<'a>;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A>(self, mut map: A) -> Result<Self::Value, A::Error>
                    where
                        A: serde::de::MapAccess<'de>,
                    {
                        let mut object = $name::default();
                        while let Some(key) = map.next_key::<$crate::json::Str<'a>>()? {
                            match &*key {
                                $($($key)|+ => object.$field = map.next_value()?,)*
                                _ => {
                                    if $crate::json::skip_value(&mut map)? {
                                        object.unknown.push(key);
                                    }
                                }
                            }
                        }
                        Ok(object)
                    }
                }

                deserializer.deserialize_map(ObjectVisitor(std::marker::PhantomData))
            }
        }
    };
}
pub(crate) use json_object;
