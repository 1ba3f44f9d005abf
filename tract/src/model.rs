//! A whole model, ready to run.

use crate::error::Error;
use crate::loaded::Loaded;
use crate::stream::Stream;
use crate::value::ValueSpec;
use rnnpack_onnx::{NodeDescription, Tensor};
use std::sync::Arc;

/// A whole ONNX model, ready to run. It is cheap to clone, and one model serves any number of threads.
///
/// Recurrent nodes may also stand in the branches of an `If` and the bodies of a `Loop` or a `Scan`; those are
/// planned when the model is loaded. A carried value may change its extents from one iteration to the next, and an
/// output of an `If` from one branch to the other, but neither its element type nor its number of dimensions.
///
/// Weights that are known when the model is loaded are packed then. Others are packed when the node runs, and a
/// [`Stream`] packs them again only when their bits change.
///
/// Values of bfloat16 may be moved about (`Identity`, `Reshape`, `Transpose`, `Squeeze`, `Unsqueeze`, `Flatten`,
/// `Slice`, `Split`, `Concat`, `Gather`, `Expand`, `Tile`, `Where` and their like), cast, and computed by recurrent
/// nodes; another operator that takes one is refused.
///
/// ```no_run
/// use rnnpack_tract::{Model, Tensor};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = Model::load(&std::fs::read("encoder.onnx")?)?;
/// for input in model.inputs() {
///     println!("{}: {} {:?}", input.name, input.dtype, input.dims);
/// }
/// let x = Tensor::new(&[10, 1, 64], vec![0f32; 640])?;
/// let outputs = model.run(&[("x", &x)])?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Model(Arc<Loaded>);

impl Model {
    pub(crate) fn new(loaded: Loaded) -> Model {
        Model(Arc::new(loaded))
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("inputs", &self.0.inputs).field("outputs", &self.0.outputs).finish()
    }
}

impl Model {
    /// The inputs that a call needs, without those that were bound.
    pub fn inputs(&self) -> &[ValueSpec] {
        &self.0.inputs
    }

    /// The outputs.
    pub fn outputs(&self) -> &[ValueSpec] {
        &self.0.outputs
    }

    /// What the file says about its recurrent nodes, also about those of branches that are never taken. Their weights
    /// were packed, and are not kept beside that.
    pub fn recurrent_nodes(&self) -> &[NodeDescription] {
        &self.0.nodes
    }

    /// Runs the model: all inputs by name, in any order, to all outputs by name.
    ///
    /// ```no_run
    /// # use rnnpack_tract::{Model, Tensor};
    /// # fn run(model: &Model, x: &Tensor) -> Result<(), rnnpack_tract::Error> {
    /// for (name, value) in model.run(&[("x", x)])? {
    ///     println!("{name}: {:?}", value.dims());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Onnx`] with [`rnnpack_onnx::Error::Value`] for an input that is missing, unknown, given twice, or of
    /// another element type or shape; else what the node that failed says.
    pub fn run(&self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>, Error> {
        self.stream(&[])?.run(inputs)
    }

    /// A stream of calls: after each, every output named in `carried` becomes the input named with it, as
    /// (input, output). It also keeps its working memory from one call to the next.
    ///
    /// ```no_run
    /// # use rnnpack_tract::{Model, Tensor};
    /// # fn run(model: &Model, chunks: &[Tensor], zeros: &Tensor) -> Result<(), rnnpack_tract::Error> {
    /// let mut stream = model.stream(&[("state", "stateN")])?;
    /// for (i, chunk) in chunks.iter().enumerate() {
    ///     let outputs = match i {
    ///         0 => stream.run(&[("input", chunk), ("state", zeros)])?,
    ///         _ => stream.run(&[("input", chunk)])?,
    ///     };
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Onnx`] with [`rnnpack_onnx::Error::Value`] for a name that is no input or output, or is used twice, and
    /// for a pair with different element types.
    pub fn stream(&self, carried: &[(&str, &str)]) -> Result<Stream, Error> {
        Stream::new(self.0.clone(), carried)
    }
}
