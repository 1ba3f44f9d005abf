//! What a recurrent node keeps from one call to the next.

use crate::layer::{Float, NodeLayer};
use rnnpack::{Error, Shape, State};
use rnnpack_onnx::NodeWeights;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::*;

/// What a node keeps from one call to the next: working memory, and the weights that it packed last.
#[derive(Default)]
pub(crate) struct LayerMemory {
    pub(crate) single: Part<f32>,
    pub(crate) double: Part<f64>,
    pub(crate) packed: Option<PackedWeights>,
}

/// The working memory of a layer that computes in `F`.
pub(crate) struct Part<F: Float> {
    state: Option<(Shape, State<F>)>,
    scratch: F::Scratch,
}

impl<F: Float> Default for Part<F> {
    fn default() -> Self {
        Self { state: None, scratch: F::Scratch::default() }
    }
}

impl<F: Float> Part<F> {
    /// Returns a zero state for `batch` rows of `layer`, and the scratch.
    pub(crate) fn start(
        &mut self,
        layer: &NodeLayer,
        batch: usize,
    ) -> Result<(&mut State<F>, &mut F::Scratch), Error> {
        let shape = layer.shape();
        let state = match self.state.take() {
            Some((of, mut state)) if of == shape && state.batch() == batch => {
                state.reset();
                state
            }
            _ => State::zeros(&layer.cell(), shape, batch)?,
        };
        Ok((&mut self.state.insert((shape, state)).1, &mut self.scratch))
    }
}

/// The weights of a node, in the order of [`NodeWeights::INPUTS`].
pub(crate) type Weights = [Option<Arc<Tensor>>; NodeWeights::INPUTS.len()];

/// The last packed weights of a node whose weights are not constants.
pub(crate) struct PackedWeights {
    /// The tensors from which they were packed. Nobody can change them while they are held here.
    pub(crate) from: Weights,
    pub(crate) layer: Arc<NodeLayer>,
}

impl PackedWeights {
    /// Whether the layer was packed from these weights.
    pub(crate) fn is_of(&self, weights: &Weights) -> bool {
        self.from.iter().zip(weights).all(|pair| match pair {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || same_contents(a, b),
            (None, None) => true,
            _ => false,
        })
    }
}

/// Whether two tensors have the same type, the same shape and the same bits.
fn same_contents(a: &Tensor, b: &Tensor) -> bool {
    a.datum_type() == b.datum_type()
        && a.shape() == b.shape()
        && [a, b].iter().all(|t| t.try_as_plain_ram().is_ok())
        && a.as_bytes() == b.as_bytes()
}

impl Clone for LayerMemory {
    /// The clone belongs to another node, so it starts empty.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl std::fmt::Debug for LayerMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("memory of a layer")
    }
}
