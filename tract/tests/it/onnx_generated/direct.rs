//! The same layer, called directly.

use super::case::{Case, Place};
use super::tensors::{numbers, of};
use rnnpack::{
    Dims, GateOrder, Layer, LayerF64, LayerTensors, LayerWeights, Layout, Scratch, ScratchF64, Sequence,
    Shape, View, ViewMut,
};
use rnnpack_onnx::{DType, Tensor};

impl Case {
    /// The outputs of the same layer called directly.
    pub(super) fn direct(&self, size: [usize; 2], feeds: &[(String, Tensor)]) -> Vec<Tensor> {
        let no = |(name, t): &(String, Tensor)| name == "cond" && t.as_slice() == Some(&[false]);
        let sign = if feeds.iter().any(no) { -1.0 } else { 1.0 };
        let y_dims = self.y_dims(size);
        let dims = [&y_dims[..], &self.state_dims(size[1]), &self.state_dims(size[1])];
        let tensors: Vec<Tensor> = match self.dtype {
            DType::F64 => {
                let all = self.direct_f64(sign, size, feeds);
                all.into_iter().zip(dims).map(|(v, dims)| Tensor::new(dims, v).unwrap()).collect()
            }
            dtype => {
                let all = self.direct_f32(sign, size, feeds);
                let rounded = |(v, dims)| Tensor::new(dims, v).unwrap().round_to(dtype).unwrap();
                all.into_iter().zip(dims).map(rounded).collect()
            }
        };
        let wanted = tensors.into_iter().zip(self.outputs).filter(|(_, p)| *p).map(|(t, _)| t);
        wanted.map(|t| if matches!(self.place, Place::Loop | Place::Scan) { twice(&t) } else { t }).collect()
    }
}

/// Stacks a tensor on itself.
fn twice(t: &Tensor) -> Tensor {
    let values = numbers(t).repeat(2);
    of(t.dtype(), &[&[2], t.dims()].concat(), &values)
}

/// Declares a function that computes a case with a layer of one precision: Y, Y_h and, for an LSTM, Y_c.
macro_rules! direct {
    ($name:ident, $number:ty, $layer:ident, $scratch:ident) => {
        impl Case {
            fn $name(
                &self,
                sign: f64,
                [time, batch]: [usize; 2],
                feeds: &[(String, Tensor)],
            ) -> Vec<Vec<$number>> {
                let values = |t: &Tensor| numbers(t).into_iter().map(|v| v as $number).collect::<Vec<_>>();
                let get = |name: &str| feeds.iter().find(|(n, _)| n == name).map(|(_, t)| t);
                let weights = self.tensors(sign);
                let weight = |name: &str| weights.iter().find(|(n, _)| *n == name).map(|(_, t)| values(t));
                let (w, r) = (weight("W").unwrap(), weight("R").unwrap());
                let (b, p) = (weight("B"), weight("P"));
                let tensors = LayerTensors { w: &w, r: &r, b: b.as_deref(), p: p.as_deref() };
                let (d, [i, h]) = (self.direction.count(), self.shape);
                let shape = Shape { input: i, hidden: h, direction: self.direction };
                let weights =
                    LayerWeights::per_direction(&self.cells, shape, GateOrder::Onnx, tensors).unwrap();
                let layer = $layer::new(&weights).unwrap();
                let dims = Dims { time, directions: 1, batch, width: i };
                let out = Dims { directions: d, width: h, ..dims };
                let mut state = layer.new_state(batch).unwrap();
                let time_major = self.layout == Layout::TimeMajor;
                if let Some(t) = get("h0") {
                    state.h_mut().copy_from_slice(&outer(&values(t), [batch, d, h], time_major));
                }
                if let Some(t) = get("c0") {
                    state.c_mut().copy_from_slice(&outer(&values(t), [batch, d, h], time_major));
                }
                let mut y = vec![<$number>::NAN; out.checked_len().unwrap()];
                let x = values(get("X").unwrap());
                let sequence = Sequence::views(
                    View::new(&x, dims, self.layout).unwrap(),
                    Some(ViewMut::new(&mut y, out, self.layout).unwrap()),
                );
                let sequence = sequence.optional_lens(get("lens").map(|l| l.as_slice().unwrap()));
                layer.forward(sequence, &mut state, &mut $scratch::new()).unwrap();
                let (h_n, c_n) = (state.h().to_vec(), state.c().to_vec());
                let mut all = vec![y, outer(&h_n, [d, batch, h], time_major)];
                all.extend(
                    (!c_n.is_empty() || h_n.is_empty()).then(|| outer(&c_n, [d, batch, h], time_major)),
                );
                all
            }
        }
    };
}

direct!(direct_f32, f32, Layer, Scratch);
direct!(direct_f64, f64, LayerF64, ScratchF64);

/// Copies `[A, B, H]`. If not `keep`, swaps the axes to `[B, A, H]`.
fn outer<T: Copy>(v: &[T], [a, b, h]: [usize; 3], keep: bool) -> Vec<T> {
    let rows = (0..b).flat_map(|b_| (0..a).map(move |a_| &v[(a_ * b + b_) * h..][..h]));
    if keep { v.to_vec() } else { rows.flatten().copied().collect() }
}
