//! The layer of a recurrent node, computed in f32, in f64, by the reference or in ONNX Runtime's arithmetic.

use crate::round::odd_f32;
use crate::settings::Kernels;
use rnnpack::{
    Cell, Dims, Error, LayerF64, Scratch, ScratchF64, Sequence, Shape, State, View, ViewMut, reference,
};
use rnnpack_onnx::{DType, NodeWeights, OnnxRuntimeLstm};
use tract_onnx::tract_hir::internal::*;

/// A layer that is ready to run, and the element type of its node.
pub(crate) struct NodeLayer {
    pub(crate) body: Implementation,
    pub(crate) dtype: DType,
}

pub(crate) enum Implementation {
    Single(rnnpack::Layer),
    Double(LayerF64),
    Reference(NodeWeights),
    OnnxRuntime(OnnxRuntimeLstm),
}

impl NodeLayer {
    pub(crate) fn new(weights: NodeWeights, kernels: Kernels) -> Result<NodeLayer, Error> {
        let dtype = weights.dtype();
        let of_onnxruntime = match kernels {
            Kernels::OnnxRuntime if !weights.is_f64() => OnnxRuntimeLstm::new(&weights.view()?),
            _ => None,
        };
        let body = match of_onnxruntime {
            Some(lstm) => Implementation::OnnxRuntime(lstm),
            None if kernels == Kernels::Reference64 => Implementation::Reference(weights),
            None if weights.is_f64() => Implementation::Double(LayerF64::new(&weights.view()?)?),
            None => Implementation::Single(rnnpack::Layer::new(&weights.view()?)?),
        };
        Ok(NodeLayer { body, dtype })
    }

    pub(crate) fn shape(&self) -> Shape {
        match &self.body {
            Implementation::Single(layer) => layer.shape(),
            Implementation::Double(layer) => layer.shape(),
            Implementation::Reference(weights) => weights.shape(),
            Implementation::OnnxRuntime(lstm) => lstm.shape(),
        }
    }

    pub(crate) fn cell(&self) -> Cell {
        match &self.body {
            Implementation::Single(layer) => *layer.cell(),
            Implementation::Double(layer) => *layer.cell(),
            Implementation::Reference(weights) => weights.cells()[0],
            Implementation::OnnxRuntime(lstm) => lstm.cell(),
        }
    }

    /// The element type of the node's values in tract.
    pub(crate) fn datum(&self) -> DatumType {
        match self.dtype {
            DType::F64 => DatumType::F64,
            DType::F16 => DatumType::F16,
            _ => DatumType::F32,
        }
    }
}

impl std::fmt::Debug for NodeLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.dtype, self.shape())
    }
}

/// The type in which a layer computes: f32 or f64.
pub(crate) trait Float: Datum + Copy + rnnpack::Element + rnnpack_onnx::Element + Into<f64> {
    type Scratch: Default;

    /// Converts a result of the f64 reference. `half` says that the result will be rounded to half precision.
    fn rounded(v: f64, half: bool) -> Self;
}

impl Float for f32 {
    type Scratch = Scratch;

    fn rounded(v: f64, half: bool) -> f32 {
        if half { odd_f32(v) } else { v as f32 }
    }
}

impl Float for f64 {
    type Scratch = ScratchF64;

    fn rounded(v: f64, _: bool) -> f64 {
        v
    }
}

/// The tensors of a call, without the states.
pub(crate) struct Call<'a, F> {
    pub(crate) x: View<'a, F>,
    pub(crate) lens: Option<&'a [i32]>,
    pub(crate) y: Option<ViewMut<'a, F>>,
}

impl<'a, F: rnnpack::Element> Call<'a, F> {
    pub(crate) fn sequence(self) -> Sequence<'a, F> {
        Sequence::views(self.x, self.y).optional_lens(self.lens)
    }
}

/// Computes a layer with the f64 reference. The state is widened first, and the results are rounded at the end.
pub(crate) fn forward_f64<F: Float>(
    weights: &NodeWeights,
    Call { x, lens, mut y }: Call<'_, F>,
    state: &mut State<F>,
) -> Result<(), Error>
where
    f64: From<F>,
{
    let Dims { time, batch, .. } = x.dims();
    let Shape { hidden, direction, .. } = weights.shape();
    let half = matches!(weights.dtype(), DType::F16 | DType::BF16);
    let round =
        |wide: &[f64], to: &mut [F]| to.iter_mut().zip(wide).for_each(|(to, &v)| *to = F::rounded(v, half));
    for (d, weights) in weights.view::<F>()?.directions().iter().enumerate() {
        let cells = if weights.cell().has_cell_state() { batch * hidden } else { 0 };
        let (h, c) = (d * batch * hidden.., d * cells..);
        let widen = |v: &[F]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let mut wide_h = widen(&state.h()[h.clone()][..batch * hidden]);
        let mut wide_c = widen(&state.c()[c.clone()][..cells]);
        let reverse = direction.is_reverse(d);
        let wide = reference::forward::<F, f64>(weights, x, lens, reverse, &mut wide_h, &mut wide_c)?;
        round(&wide_h, &mut state.h_mut()[h]);
        round(&wide_c, &mut state.c_mut()[c]);
        let Some(y) = &mut y else { continue };
        for (i, row) in wide.chunks_exact(hidden).enumerate().take(time * batch) {
            round(row, y.row_mut(i / batch, d, i % batch));
        }
    }
    Ok(())
}
