//! Cells: which recurrent operator a layer computes, and with which options.

mod gru;
mod lstm;
mod rnn;

pub(crate) use gru::{Candidate, Gates, Gru};
pub(crate) use lstm::{CoupledLstm, Lstm};
pub(crate) use rnn::Rnn;

use crate::activation::Activation;
use crate::error::Error;

/// A recurrent operator of ONNX with its attributes, for one direction. It defines what a step computes.
///
/// The equations use ONNX's notation: `f`, `g` and `h` are the cell's activations, `⊙` is the product element by
/// element, and a bias `b` is the sum of Wb and Rb. If the cell has a clip threshold, the argument of every activation
/// is clipped first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    /// Long short-term memory.
    Lstm(LstmCell),
    /// Gated recurrent unit.
    Gru(GruCell),
    /// One layer without gates.
    Rnn(RnnCell),
}

/// The LSTM of Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000). If the weights have
/// peepholes `P`, they are those of Gers & Schmidhuber (2000).
///
/// ```text
/// it = f(Wi·x + Ri·h + bi + Pi ⊙ C₋₁)      ft = f(Wf·x + Rf·h + bf + Pf ⊙ C₋₁)      ct = g(Wc·x + Rc·h + bc)
/// Ct = ft ⊙ C₋₁ + it ⊙ ct                  ot = f(Wo·x + Ro·h + bo + Po ⊙ Ct)       Ht = ot ⊙ h(Ct)
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LstmCell {
    /// `f`, `g` and `h`.
    pub activations: [Activation; 3],
    /// Arguments of activations are clipped to ± this; positive and finite.
    pub clip: Option<f32>,
    /// Couples the gates: `ft = 1 - it`.
    pub input_forget: bool,
}

/// The GRU of Cho et al. (2014).
///
/// ```text
/// zt = f(Wz·x + Rz·h + bz)      rt = f(Wr·x + Rr·h + br)      Ht = (1 - zt) ⊙ ht + zt ⊙ H₋₁
/// ht = g(Wh·x + Rh·(rt ⊙ h) + bh)                without linear_before_reset
/// ht = g(Wh·x + Wbh + rt ⊙ (Rh·h + Rbh))         with it: PyTorch, cuDNN, Keras (reset_after)
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GruCell {
    /// `f` and `g`.
    pub activations: [Activation; 2],
    /// Arguments of activations are clipped to ± this; positive and finite.
    pub clip: Option<f32>,
    /// The reset gate acts on the product `Rh·h` instead of on h.
    pub linear_before_reset: bool,
}

/// `Ht = f(W·x + R·h + b)`: Elman (1990).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RnnCell {
    /// `f`
    pub activation: Activation,
    /// Arguments of activations are clipped to ± this; positive and finite.
    pub clip: Option<f32>,
}

impl Default for LstmCell {
    /// ONNX's defaults: sigmoid, tanh, tanh; no clipping; the gates are not coupled.
    fn default() -> LstmCell {
        use Activation::{Sigmoid, Tanh};
        LstmCell { activations: [Sigmoid, Tanh, Tanh], clip: None, input_forget: false }
    }
}

impl Default for GruCell {
    /// ONNX's defaults: sigmoid and tanh; no clipping; without `linear_before_reset`.
    fn default() -> GruCell {
        use Activation::{Sigmoid, Tanh};
        GruCell { activations: [Sigmoid, Tanh], clip: None, linear_before_reset: false }
    }
}

impl Default for RnnCell {
    /// ONNX's defaults: tanh; no clipping.
    fn default() -> RnnCell {
        RnnCell { activation: Activation::Tanh, clip: None }
    }
}

/// The name of the clip threshold in errors.
pub(crate) const CLIP: &str = "clip";

impl Cell {
    /// An LSTM with ONNX's defaults.
    pub fn lstm() -> Cell {
        Cell::Lstm(LstmCell::default())
    }

    /// A GRU with the given `linear_before_reset` and ONNX's defaults for the rest.
    pub fn gru(linear_before_reset: bool) -> Cell {
        Cell::Gru(GruCell { linear_before_reset, ..GruCell::default() })
    }

    /// PyTorch's GRU, with `linear_before_reset`. cuDNN and Keras (`reset_after`) have the same.
    pub fn pytorch_gru() -> Cell {
        Cell::gru(true)
    }

    /// An RNN with this activation.
    pub fn rnn(activation: Activation) -> Cell {
        Cell::Rnn(RnnCell { activation, clip: None })
    }

    /// The operator's name in ONNX.
    pub fn op(&self) -> &'static str {
        match self {
            Cell::Lstm(_) => "LSTM",
            Cell::Gru(_) => "GRU",
            Cell::Rnn(_) => "RNN",
        }
    }

    /// The number of gates in the weight tensors: 4, 3 or 1. Each gate has H rows of W and of R.
    pub fn gates(&self) -> usize {
        match self {
            Cell::Lstm(_) => 4,
            Cell::Gru(_) => 3,
            Cell::Rnn(_) => 1,
        }
    }

    /// Whether the cell has a cell state in addition to the hidden state.
    pub fn has_cell_state(&self) -> bool {
        matches!(self, Cell::Lstm(_))
    }

    /// The threshold to which arguments of activations are clipped.
    pub fn clip(&self) -> Option<f32> {
        match self {
            Cell::Lstm(cell) => cell.clip,
            Cell::Gru(cell) => cell.clip,
            Cell::Rnn(cell) => cell.clip,
        }
    }

    /// The activations, in ONNX's order.
    pub fn activations(&self) -> &[Activation] {
        match self {
            Cell::Lstm(cell) => &cell.activations,
            Cell::Gru(cell) => &cell.activations,
            Cell::Rnn(cell) => core::slice::from_ref(&cell.activation),
        }
    }

    /// Checks the numbers among the options.
    ///
    /// # Errors
    /// [`Error::Option`] if the clip threshold is not positive and finite, or a parameter of an activation is not
    /// finite.
    pub fn validate(&self) -> Result<(), Error> {
        let usable = |what, value: f32| value.is_finite() && (what != CLIP || value > 0.0);
        match self.options().find(|&(what, value)| !usable(what, value)) {
            Some((what, value)) => Err(Error::Option { what, value }),
            None => Ok(()),
        }
    }

    /// The numbers among the options, with their names.
    pub(crate) fn options(&self) -> impl Iterator<Item = (&'static str, f32)> {
        let parameters = self.activations().iter().flat_map(|activation| {
            let (alpha, beta) = activation.parameters();
            [("activation alpha", alpha), ("activation beta", beta)]
        });
        [(CLIP, self.clip())].into_iter().chain(parameters).filter_map(|(what, value)| Some((what, value?)))
    }
}
