//! The inputs of a whole model: given by the user, recorded, or generated.

mod declared;
mod dims;
mod feeds;
mod generate;
mod given;
mod recorded;
mod roles;
mod shown;

pub(crate) use feeds::Feeds;
pub(crate) use generate::{GeneratedArgs, Generator};
pub(crate) use given::GivenArgs;
pub(crate) use recorded::Recorded;
