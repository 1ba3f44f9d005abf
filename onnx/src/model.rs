//! Decodes a model and brings it into the form that all other code reads: one graph that has all its data.

use crate::error::Error;
use crate::external::DataFolder;
use crate::proto::{self, Model};
use crate::{functions, imports, shadow, sparse};
use prost::Message;
use std::path::Path;

/// Decodes a model that is in memory. A runtime decodes a file once and passes the result on.
///
/// The result has no model-local functions and no sparse tensors: calls of functions are replaced by the nodes of the
/// functions, and sparse tensors by dense ones. A name inside a graph that hides a name around it is replaced by a new
/// one. The standard operator set is imported once, as `""`, and its nodes have the domain `""`.
///
/// Tensors whose data is in other files stay as they are, and whoever needs the data refuses them. To read these files,
/// use [`open`] or [`decode_in`].
///
/// # Errors
/// - [`Error::Malformed`]: the bytes are not a model, or the model has no graph.
/// - [`Error::Opset`]: the standard operator set is imported in two versions, or a function needs another version than
///   the model.
/// - [`Error::Function`]: two functions are the same, or a function that is called is wrong, calls itself, or makes the
///   model too large.
/// - [`Error::Node`]: a node does not fit the function that it calls.
/// - [`Error::Tensor`]: a sparse tensor is wrong or would be too large.
pub fn decode(bytes: &[u8]) -> Result<Model, Error> {
    complete(proto::message(bytes)?, None)
}

/// Like [`decode`], and reads the data that the model keeps in files below `folder`.
///
/// # Errors
/// As [`decode`], and [`Error::Tensor`] if the data of a tensor cannot be read. `docs/onnx.md` in the repository lists
/// the conditions.
pub fn decode_in(bytes: &[u8], folder: &Path) -> Result<Model, Error> {
    complete(proto::message(bytes)?, Some(&mut DataFolder::new(folder)))
}

/// Reads and decodes the model at `path`, with the data that it keeps in files below its own folder.
///
/// # Errors
/// [`Error::File`] if the file cannot be read, and the errors of [`decode_in`].
pub fn open(path: &Path) -> Result<Model, Error> {
    let message = proto::message(&read(path)?)?;
    complete(message, Some(&mut DataFolder::new(folder(path))))
}

/// Reads the model at `path` as the bytes of one file. If the model keeps data in other files, the result has it inside.
/// Otherwise the result is the file itself.
///
/// # Errors
/// As [`open`].
pub fn read_whole(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = read(path)?;
    let mut folder = DataFolder::new(folder(path));
    let model = complete(proto::message(&bytes)?, Some(&mut folder))?;
    Ok(if folder.is_used() { model.encode_to_vec() } else { bytes })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|e| Error::File { path: path.display().to_string(), reason: e.to_string() })
}

/// The folder of the model at `path`.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn complete(mut model: Model, folder: Option<&mut DataFolder>) -> Result<Model, Error> {
    imports::unify(&mut model)?;
    functions::expand(&mut model)?;
    if let Some(folder) = folder {
        folder.load_all(&mut model)?;
    }
    sparse::densify(&mut model)?;
    if let Some(graph) = &mut model.graph {
        shadow::rename(graph);
    }
    Ok(model)
}
