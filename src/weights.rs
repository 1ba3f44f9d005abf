use crate::{Error, LstmShape};
use rnnpack_kernels::{GATES, GateOrder, Weights};

/// The weights of an LSTM layer, checked: sizes agree and every element is finite.
///
/// The slices are as ONNX has them, directions outermost; [`GateOrder`] says how the gates follow each other.
/// PyTorch's `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0` and `bias_hh_l0` fit with [`GateOrder::Ifco`], see
/// [`LstmWeights::pytorch`].
#[derive(Clone, Debug)]
pub struct LstmWeights<'a> {
    shape: LstmShape,
    directions: Vec<Weights<'a>>,
}

impl<'a> LstmWeights<'a> {
    /// ONNX tensors: `w` is `[D, 4·H, I]`, `r` is `[D, 4·H, H]`, `b` is `[D, 8·H]` (Wb of all gates, then Rb).
    ///
    /// # Errors
    /// [`Error::Kernel`]: H is 0, a length disagrees with the shape, a product overflows, or an element is NaN or
    /// infinite.
    pub fn new(
        shape: LstmShape,
        order: GateOrder,
        w: &'a [f32],
        r: &'a [f32],
        b: Option<&'a [f32]>,
    ) -> Result<LstmWeights<'a>, Error> {
        use rnnpack_kernels::Error::{Length, NotFinite, Overflow, Zero};
        let LstmShape { input, hidden, direction } = shape;
        let count = direction.count();
        if hidden == 0 {
            return Err(Zero { what: "hidden_size" }.into());
        }
        let rows = hidden.checked_mul(GATES);
        let total = |what, columns: usize, len: usize| {
            let per_direction = rows.and_then(|rows| rows.checked_mul(columns)).ok_or(Overflow { what })?;
            let expected = per_direction.checked_mul(count).ok_or(Overflow { what })?;
            if len != expected { Err(Length { what, expected, got: len }) } else { Ok(per_direction) }
        };
        let w_len = total("W", input, w.len())?;
        let r_len = total("R", hidden, r.len())?;
        let b_len = b.map_or(Ok(0), |b| total("B", 2, b.len()))?;
        // Where an element of one direction's part stands in the caller's tensor.
        let whole = |d: usize, e| match e {
            NotFinite { what: "W", index } => NotFinite { what: "W", index: d * w_len + index },
            NotFinite { what: "R", index } => NotFinite { what: "R", index: d * r_len + index },
            NotFinite { what: "Wb", index } => NotFinite { what: "B", index: d * b_len + index },
            NotFinite { what: "Rb", index } => NotFinite { what: "B", index: d * b_len + b_len / 2 + index },
            e => e,
        };
        let directions = (0..count)
            .map(|d| {
                let biases = match b.map(|b| b[d * b_len..][..b_len].split_at(b_len / 2)) {
                    Some((wb, rb)) => [Some(wb), Some(rb)],
                    None => [None, None],
                };
                let (w, r) = (&w[d * w_len..][..w_len], &r[d * r_len..][..r_len]);
                Weights::new([input, hidden], order, w, r, biases).map_err(|e| whole(d, e))
            })
            .collect::<Result<_, _>>()?;
        Ok(LstmWeights { shape, directions })
    }

    /// The tensors of one layer of PyTorch's `nn.LSTM`, one [`PyTorchLstm`] per direction.
    ///
    /// # Errors
    /// As [`LstmWeights::new`].
    pub fn pytorch(shape: LstmShape, directions: &[PyTorchLstm<'a>]) -> Result<LstmWeights<'a>, Error> {
        let expected = shape.direction.count();
        if directions.len() != expected {
            let (what, got) = ("the number of directions", directions.len());
            return Err(rnnpack_kernels::Error::Extent { what, expected, got }.into());
        }
        let sizes = [shape.input, shape.hidden];
        let checked = |p: &PyTorchLstm<'a>| {
            Weights::new(sizes, GateOrder::Ifco, p.weight_ih, p.weight_hh, [p.bias_ih, p.bias_hh])
        };
        Ok(LstmWeights { shape, directions: directions.iter().map(checked).collect::<Result<_, _>>()? })
    }

    /// The layer's sizes.
    pub fn shape(&self) -> LstmShape {
        self.shape
    }

    /// The weights of each direction.
    pub fn directions(&self) -> &[Weights<'a>] {
        &self.directions
    }
}

/// One direction of a layer of PyTorch's `nn.LSTM`, under PyTorch's names.
#[derive(Clone, Copy, Debug)]
pub struct PyTorchLstm<'a> {
    /// `weight_ih_l*`, `[4·H, I]`.
    pub weight_ih: &'a [f32],
    /// `weight_hh_l*`, `[4·H, H]`.
    pub weight_hh: &'a [f32],
    /// `bias_ih_l*`, `[4·H]`.
    pub bias_ih: Option<&'a [f32]>,
    /// `bias_hh_l*`, `[4·H]`.
    pub bias_hh: Option<&'a [f32]>,
}
