//! A node's attributes, read by name and type.

use crate::brief::{Line, List, Name, Shown, ShownNames};
use crate::proto::{self, kind};
use std::collections::BTreeMap;
use std::fmt;

/// The value of an attribute of a recurrent node, as it is in the file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AttributeValue {
    /// A number.
    Float(f32),
    /// An integer.
    Int(i64),
    /// A text. Bytes that are not UTF-8 are replaced.
    Text(String),
    /// Numbers.
    Floats(Vec<f32>),
    /// Integers.
    Ints(Vec<i64>),
    /// Texts. Bytes that are not UTF-8 are replaced.
    Texts(Vec<String>),
    /// A value of any other type. The string is the name of the type.
    Other(String),
}

impl fmt::Display for AttributeValue {
    /// Texts are [`Shown`], and lists end after 8 entries.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float(v) => write!(f, "{v}"),
            Self::Int(v) => write!(f, "{v}"),
            Self::Text(v) => write!(f, "{}", Shown(v)),
            Self::Floats(v) => write!(f, "{}", List(v)),
            Self::Ints(v) => write!(f, "{}", List(v)),
            Self::Texts(v) => write!(f, "[{}]", ShownNames(v)),
            Self::Other(v) => write!(f, "<{}>", Shown(v)),
        }
    }
}

impl From<&proto::Attribute> for AttributeValue {
    fn from(a: &proto::Attribute) -> Self {
        let text = |s: &Vec<u8>| String::from_utf8_lossy(s).into_owned();
        match a.kind {
            kind::FLOAT => Self::Float(a.f),
            kind::INT => Self::Int(a.i),
            kind::STRING => Self::Text(text(&a.s)),
            kind::FLOATS => Self::Floats(a.floats.clone()),
            kind::INTS => Self::Ints(a.ints.clone()),
            kind::STRINGS => Self::Texts(a.strings.iter().map(text).collect()),
            other => Self::Other(kind::name(other)),
        }
    }
}

/// An attribute that is refused.
#[derive(Debug, Clone, PartialEq)]
pub struct BadAttribute {
    /// Its name.
    pub attribute: String,
    /// Why it is refused.
    pub reason: String,
}

impl fmt::Display for BadAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attribute {}: {}", Name(&self.attribute), Line(&self.reason))
    }
}

impl std::error::Error for BadAttribute {}

/// Refuses `attribute` for `reason`.
pub(crate) fn bad<T>(attribute: &str, reason: impl Into<String>) -> Result<T, BadAttribute> {
    Err(BadAttribute { attribute: attribute.to_string(), reason: reason.into() })
}

/// The attributes of a node by name. Each is given only once and has its own value: it refers to no attribute of a
/// function.
pub(crate) struct Attributes<'n>(BTreeMap<&'n str, &'n proto::Attribute>);

impl<'n> Attributes<'n> {
    /// Reads the attributes of `node`. Refuses an attribute that is not in `known`.
    pub(crate) fn read(node: &'n proto::Node, known: &[&str]) -> Result<Self, BadAttribute> {
        let mut map = BTreeMap::new();
        for a in &node.attribute {
            if !known.contains(&a.name.as_str()) {
                return bad(&a.name, "not an attribute of this operator in this operator set");
            }
            if !a.ref_attr_name.is_empty() {
                return bad(&a.name, format!("refers to {} of a function", Name(&a.ref_attr_name)));
            }
            if map.insert(a.name.as_str(), a).is_some() {
                return bad(&a.name, "given twice");
            }
        }
        Ok(Self(map))
    }

    fn typed(&self, name: &str, expected: i32) -> Result<Option<&'n proto::Attribute>, BadAttribute> {
        match self.0.get(name) {
            Some(a) if a.kind != expected => {
                let (found, expected) = (kind::name(a.kind), kind::name(expected));
                bad(name, format!("it is {found}, where the standard has {expected}"))
            }
            other => Ok(other.copied()),
        }
    }

    pub(crate) fn int(&self, name: &str) -> Result<Option<i64>, BadAttribute> {
        Ok(self.typed(name, kind::INT)?.map(|a| a.i))
    }

    /// An integer that must be 0 or 1. Absent means 0.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, BadAttribute> {
        match self.int(name)? {
            None | Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(other) => bad(name, format!("{other} is neither 0 nor 1")),
        }
    }

    pub(crate) fn float(&self, name: &str) -> Result<Option<f32>, BadAttribute> {
        Ok(self.typed(name, kind::FLOAT)?.map(|a| a.f))
    }

    pub(crate) fn ints(&self, name: &str) -> Result<Option<&'n [i64]>, BadAttribute> {
        Ok(self.typed(name, kind::INTS)?.map(|a| a.ints.as_slice()))
    }

    pub(crate) fn floats(&self, name: &str) -> Result<Option<&'n [f32]>, BadAttribute> {
        Ok(self.typed(name, kind::FLOATS)?.map(|a| a.floats.as_slice()))
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Option<&'n proto::Tensor>, BadAttribute> {
        match self.typed(name, kind::TENSOR)? {
            Some(a) => a.t.as_deref().map_or_else(|| bad(name, "it holds no tensor"), |t| Ok(Some(t))),
            None => Ok(None),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&'n str>, BadAttribute> {
        match self.typed(name, kind::STRING)? {
            Some(a) => Ok(Some(utf8(name, &a.s)?)),
            None => Ok(None),
        }
    }

    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<&'n str>>, BadAttribute> {
        match self.typed(name, kind::STRINGS)? {
            Some(a) => a.strings.iter().map(|s| utf8(name, s)).collect::<Result<_, _>>().map(Some),
            None => Ok(None),
        }
    }
}

fn utf8<'n>(name: &str, bytes: &'n [u8]) -> Result<&'n str, BadAttribute> {
    std::str::from_utf8(bytes).or_else(|_| bad(name, "its text is not UTF-8"))
}
