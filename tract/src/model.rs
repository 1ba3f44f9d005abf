//! A whole model that is ready to run.

use crate::error::Error;
use crate::loaded::Loaded;
use crate::stream::Stream;
use crate::value::ValueSpec;
use rnnpack_onnx::{NodeDescription, Tensor};
use std::sync::Arc;

/// A whole ONNX model that is ready to run. Cloning is cheap, and any number of threads can share one model.
///
/// Recurrent nodes may also be in the branches of an `If` and in the body of a `Loop` or a `Scan`. These graphs are
/// planned when the model is loaded. A carried value may have other extents in each iteration, and an output of an `If`
/// other extents in each branch. Neither may change its element type or its number of dimensions.
///
/// Weights that are known at load are packed at load. Other weights are packed when the node runs. A [`Stream`] packs
/// them again only when their bits change.
///
/// Values of bfloat16 may be moved (`Identity`, `Reshape`, `Transpose`, `Squeeze`, `Unsqueeze`, `Flatten`, `Slice`,
/// `Split`, `Concat`, `Gather`, `Expand`, `Tile`, `Where` and similar operators) and cast, and recurrent nodes compute
/// with them. Any other operator with a bfloat16 input is refused.
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
    /// The inputs that a call needs. Bound inputs are not among them.
    pub fn inputs(&self) -> &[ValueSpec] {
        &self.0.inputs
    }

    /// The outputs.
    pub fn outputs(&self) -> &[ValueSpec] {
        &self.0.outputs
    }

    /// What the file says about its recurrent nodes, including those in branches that are never taken. The descriptions
    /// do not keep the weights.
    pub fn recurrent_nodes(&self) -> &[NodeDescription] {
        &self.0.nodes
    }

    /// Runs the model. Takes all inputs by name, in any order, and returns all outputs with their names.
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
    /// [`Error::Onnx`] with [`rnnpack_onnx::Error::Value`] for an input that is missing, unknown, given twice, or has
    /// another element type or shape. Otherwise the error of the node that failed.
    pub fn run(&self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>, Error> {
        self.stream(&[])?.run(inputs)
    }

    /// Starts a stream of calls. `carried` has pairs (input, output): after each call, the output becomes the value of
    /// the input. The stream also keeps its working memory from one call to the next.
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
    /// [`Error::Onnx`] with [`rnnpack_onnx::Error::Value`] if a name is not an input or output, if an input is used
    /// twice, or if the two of a pair have different element types.
    pub fn stream(&self, carried: &[(&str, &str)]) -> Result<Stream, Error> {
        Stream::new(self.0.clone(), carried)
    }
}
