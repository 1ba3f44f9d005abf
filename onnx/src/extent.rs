//! The size of a dimension, if the file says it.

use crate::brief::Shown;
use crate::proto::{self, DimensionValue};
use std::fmt;

/// What a file says about a dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// Its size.
    Fixed(usize),
    /// A name for a size that is known only when the model runs.
    Named(String),
    /// The file says nothing, or gives a name of more than 128 bytes.
    Unknown,
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => f.pad(&n.to_string()),
            Self::Named(name) => f.pad(&Shown(name).to_string()),
            Self::Unknown => f.pad("?"),
        }
    }
}

impl From<&proto::Dimension> for Extent {
    fn from(d: &proto::Dimension) -> Self {
        match &d.value {
            Some(DimensionValue::Value(v)) => usize::try_from(*v).map_or(Self::Unknown, Self::Fixed),
            Some(DimensionValue::Param(p)) if (1..=128).contains(&p.len()) => Self::Named(p.clone()),
            _ => Self::Unknown,
        }
    }
}
