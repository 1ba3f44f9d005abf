//! Runs a node on a layer that is packed from it, without a runtime.

use super::conformance::stored;
use super::recurrent_nodes_with;
use rnnpack::{Dims, Layout, Network, Sequence, Shape, State, View, ViewMut};
use rnnpack_onnx::{DType, Error, RecurrentNode, Tensor};

/// Whether the input of this name is a weight in the models of the tests.
pub fn is_weight(name: &str) -> bool {
    matches!(name, "W" | "R" | "B" | "P")
}

/// Runs the only node of a model and returns Y, Y_h and Y_c. The values of the model have the names of the operator's
/// inputs and outputs.
pub fn run(model: &[u8], inputs: &[(&str, &Tensor)]) -> Result<[Tensor; 3], Error> {
    let weights: Vec<(&str, &Tensor)> = inputs.iter().filter(|(name, _)| is_weight(name)).copied().collect();
    let nodes = recurrent_nodes_with(model, &weights)?;
    assert_eq!(nodes.len(), 1);
    let call = Call { layout: nodes[0].layout.unwrap(), model, inputs };
    call.run(&nodes[0])
}

struct Call<'a> {
    layout: Layout,
    model: &'a [u8],
    inputs: &'a [(&'a str, &'a Tensor)],
}

impl Call<'_> {
    fn run(&self, node: &RecurrentNode) -> Result<[Tensor; 3], Error> {
        if node.dtype == Some(DType::F64) {
            let layer = node.pack_f64()?;
            self.forward(&layer, layer.shape())
        } else {
            let layer = node.pack()?;
            self.forward(&layer, layer.shape())
        }
    }

    /// The values of an input, given or stored, as `F`. Half precision is widened.
    fn values<F: rnnpack_onnx::Element>(&self, name: &str) -> Option<(Vec<usize>, Vec<F>)> {
        let given = self.inputs.iter().find(|(n, _)| *n == name).map(|(_, t)| Tensor::clone(t));
        let tensor = given.or_else(|| stored(self.model, name))?;
        let wide = tensor.to_f32().unwrap_or(tensor);
        Some((wide.dims().to_vec(), wide.as_slice().unwrap().to_vec()))
    }

    fn forward<F, N>(&self, network: &N, shape: Shape) -> Result<[Tensor; 3], Error>
    where
        F: rnnpack_onnx::Element + rnnpack::Element,
        N: Network<Number = F, State = State<F>>,
    {
        let (x_dims, x) = self.values::<F>("X").unwrap();
        let [time, batch] = match self.layout {
            Layout::TimeMajor => [x_dims[0], x_dims[1]],
            Layout::BatchMajor => [x_dims[1], x_dims[0]],
        };
        let dims = Dims { time, directions: 1, batch, width: x_dims[2] };
        let out = Dims { directions: shape.direction.count(), width: shape.hidden, ..dims };
        let mut state = network.new_state(batch).map_err(layer)?;
        if let Some((_, h)) = self.values("initial_h") {
            state.h_mut().copy_from_slice(&self.swap([batch, out.directions, out.width], &h));
        }
        if let Some((_, c)) = self.values("initial_c") {
            state.c_mut().copy_from_slice(&self.swap([batch, out.directions, out.width], &c));
        }
        let lens = self.values("sequence_lens").map(|(_, lens)| lens);
        let mut y = vec![F::default(); out.checked_len().unwrap()];
        let x = View::new(&x, dims, self.layout).map_err(|e| layer(e.into()))?;
        let y_view = ViewMut::new(&mut y, out, self.layout).map_err(|e| layer(e.into()))?;
        let sequence = Sequence::views(x, Some(y_view)).optional_lens(lens.as_deref());
        network.forward(sequence, &mut state, &mut N::Scratch::default()).map_err(layer)?;
        let y_dims = match self.layout {
            Layout::TimeMajor => [time, out.directions, batch, out.width],
            Layout::BatchMajor => [batch, time, out.directions, out.width],
        };
        let last = |values: &[F]| {
            let dims = match self.layout {
                Layout::TimeMajor => [out.directions, batch, out.width],
                Layout::BatchMajor => [batch, out.directions, out.width],
            };
            // An RNN and a GRU have no cell state.
            let dims = if values.is_empty() { [0; 3] } else { dims };
            Tensor::new(&dims, self.swap([out.directions, batch, out.width], values)).unwrap()
        };
        Ok([Tensor::new(&y_dims, y).unwrap(), last(state.h()), last(state.c())])
    }

    /// Exchanges the two outer axes of `[A, B, H]` if the layout is batch-major.
    fn swap<F: Copy>(&self, [a, b, h]: [usize; 3], values: &[F]) -> Vec<F> {
        if self.layout == Layout::TimeMajor || values.is_empty() {
            return values.to_vec();
        }
        let rows = (0..b).flat_map(|b_| (0..a).map(move |a_| a_ * b + b_));
        rows.flat_map(|row| values[row * h..][..h].iter().copied()).collect()
    }
}

/// An error of the layer of the only node.
fn layer(error: rnnpack::Error) -> Error {
    Error::of_layer("only", error)
}

/// The layer of a node as packed bytes. Two layers of equal weights have equal bytes.
pub fn packed(node: &RecurrentNode) -> Vec<u8> {
    let target = rnnpack::Target::by_name("portable").unwrap();
    node.weights().unwrap().to_bytes(target).unwrap()
}
