//! Cells: which recurrent operator a layer computes, and the epilogues that the register tiles end with.
//!
//! A step is one or two *passes* over the hidden units. A pass computes some gates of all units on register tiles, and
//! its epilogue turns the tile's sums into states before the next tile starts. Only a GRU that resets h
//! before the product needs two: the hidden gate's product needs the reset gate of every unit.

mod gru;
mod lstm;
mod rnn;

pub(crate) use gru::{Candidate, Gates, Gru};
pub(crate) use lstm::{CoupledLstm, Lstm};
pub(crate) use rnn::Rnn;

use crate::Error;
use crate::activation::{Activation, activation_v, sigmoid_v, tanh_v};
use crate::isa::Isa;

/// A recurrent operator of ONNX with its attributes, for one direction: what a step computes.
///
/// Equations in the notation of ONNX: `f`, `g`, `h` are the cell's activations, `⊙` is the product by element, biases
/// `b` are the sum of Wb and Rb, and the argument of every activation is first clipped where the cell says so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    /// Long short-term memory.
    Lstm(LstmCell),
    /// Gated recurrent unit.
    Gru(GruCell),
    /// One layer without gates.
    Rnn(RnnCell),
}

/// The LSTM of Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000) and, where the weights have
/// them, the peepholes `P` of Gers & Schmidhuber (2000).
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
    /// ONNX's: sigmoid, tanh, tanh; no clipping, gates not coupled.
    fn default() -> LstmCell {
        use Activation::{Sigmoid, Tanh};
        LstmCell { activations: [Sigmoid, Tanh, Tanh], clip: None, input_forget: false }
    }
}

impl Default for GruCell {
    /// ONNX's: sigmoid and tanh; no clipping, without `linear_before_reset`.
    fn default() -> GruCell {
        use Activation::{Sigmoid, Tanh};
        GruCell { activations: [Sigmoid, Tanh], clip: None, linear_before_reset: false }
    }
}

impl Default for RnnCell {
    /// ONNX's: tanh; no clipping.
    fn default() -> RnnCell {
        RnnCell { activation: Activation::Tanh, clip: None }
    }
}

impl Cell {
    /// An LSTM with ONNX's defaults.
    pub fn lstm() -> Cell {
        Cell::Lstm(LstmCell::default())
    }

    /// A GRU with ONNX's defaults, but for `linear_before_reset`.
    pub fn gru(linear_before_reset: bool) -> Cell {
        Cell::Gru(GruCell { linear_before_reset, ..GruCell::default() })
    }

    /// PyTorch's GRU, which cuDNN and Keras (`reset_after`) have too: `linear_before_reset`.
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

    /// Gates in the weight tensors, each H rows of W and R: 4, 3 or 1.
    pub fn gates(&self) -> usize {
        match self {
            Cell::Lstm(_) => 4,
            Cell::Gru(_) => 3,
            Cell::Rnn(_) => 1,
        }
    }

    /// The gates that a step computes, as ONNX numbers them: all but the forget gate that `input_forget` derives.
    pub fn computed_gates(&self) -> impl Iterator<Item = usize> {
        self.passes().iter().flat_map(|pass| pass.gates).copied()
    }

    /// Whether there is a cell state beside the hidden state.
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

    /// Whether the activations are ONNX's defaults, and nothing is clipped: what [`Standard`] computes.
    pub(crate) fn plain(&self) -> bool {
        use Activation::{Sigmoid, Tanh};
        let standard: &[Activation] = match self {
            Cell::Lstm(_) => &[Sigmoid, Tanh, Tanh],
            Cell::Gru(_) => &[Sigmoid, Tanh],
            Cell::Rnn(_) => &[Tanh],
        };
        self.clip().is_none() && self.activations() == standard
    }

    /// The passes of a step.
    pub(crate) fn passes(&self) -> &'static [PassShape] {
        match self {
            Cell::Lstm(LstmCell { input_forget: true, .. }) => &[CoupledLstm::<Any>::SHAPE],
            Cell::Lstm(_) => &[Lstm::<Any>::SHAPE],
            Cell::Gru(GruCell { linear_before_reset: true, .. }) => &[Gru::<Any>::SHAPE],
            Cell::Gru(_) => &[Gates::<Any>::SHAPE, Candidate::<Any>::SHAPE],
            Cell::Rnn(_) => &[Rnn::<Any>::SHAPE],
        }
    }

    /// State buffers beside the two of h: an LSTM's c, a GRU's z and r ⊙ h between its passes.
    pub(crate) fn aux(&self) -> usize {
        match self {
            Cell::Lstm(_) => 1,
            Cell::Gru(GruCell { linear_before_reset: false, .. }) => 2,
            Cell::Gru(_) | Cell::Rnn(_) => 0,
        }
    }

    /// Whether the numbers among the options can be computed with.
    ///
    /// # Errors
    /// [`Error::Option`] for a threshold that is not positive and finite, and for a parameter of an activation that is
    /// not finite.
    pub fn check(&self) -> Result<(), Error> {
        if let Some(value) = self.clip().filter(|&clip| !(clip > 0.0 && clip.is_finite())) {
            return Err(Error::Option { what: "clip", value });
        }
        for activation in self.activations() {
            let (alpha, beta) = activation.parameters();
            for (what, value) in [("activation alpha", alpha), ("activation beta", beta)] {
                if let Some(value) = value.filter(|v| !v.is_finite()) {
                    return Err(Error::Option { what, value });
                }
            }
        }
        Ok(())
    }
}

/// How a pass lays out its panels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PassShape {
    /// The gates that it computes, as ONNX numbers them; none for no pass.
    pub(crate) gates: &'static [usize],
    /// Vectors of hidden units in a panel: as many as keep enough independent chains in a tile.
    pub(crate) units: usize,
    /// The last gate's recurrent sum starts from its bias of R, and its projection is left to the epilogue.
    pub(crate) apart: bool,
}

impl PassShape {
    /// Accumulators of a row and panel, `[gate][unit vector]`.
    pub(crate) const fn vectors(self) -> usize {
        self.gates.len() * self.units
    }

    /// Panels of `hidden` units.
    pub(crate) fn panels(self, lanes: usize, hidden: usize) -> usize {
        hidden.div_ceil(self.units * lanes)
    }
}

/// A pass and its epilogue.
pub(crate) trait Pass: Copy {
    const SHAPE: PassShape;
    /// The epilogue stands behind each tile's loop, which hands it the sums as values. Else the sums of a tile take a detour
    /// through level 1 to an epilogue that stands once: 1 to 3% slower at H = 256, and 20 times less code.
    const INLINE: bool;

    /// From the sums of the gates (in the order of the shape; the rest is padding) to the hidden state after, where this
    /// pass is the last of the step.
    ///
    /// # Safety
    /// The addresses must be valid for a vector each.
    unsafe fn finish<S: Isa>(self, s: S, gates: [S::V; 4], at: At) -> Option<S::V>;
}

/// Where the values of one row and one vector of units are.
#[derive(Clone, Copy)]
pub(crate) struct At {
    /// The hidden state before.
    pub(crate) h: *const f32,
    /// The buffers that [`Cell::aux`] counts.
    pub(crate) aux: [*mut f32; 2],
    /// The projected input of the pass's last gate.
    pub(crate) projected: *const f32,
    /// The first row of packed constants: an LSTM's peepholes, in the order of its gates.
    pub(crate) constants: *const f32,
    /// f32 from a row of constants to the next.
    pub(crate) row: usize,
}

/// In place of a second pass.
#[derive(Clone, Copy)]
pub(crate) struct NoPass;

impl Pass for NoPass {
    const SHAPE: PassShape = PassShape { gates: &[], units: 1, apart: false };
    const INLINE: bool = true;

    unsafe fn finish<S: Isa>(self, _: S, _: [S::V; 4], _: At) -> Option<S::V> {
        None
    }
}

/// The activations of a cell, with the clipping of their arguments.
pub(crate) trait Activations: Copy {
    /// See [`Pass::INLINE`].
    const INLINE: bool;

    /// `f` of an LSTM and a GRU.
    fn gate<S: Isa>(self, s: S, x: S::V) -> S::V;
    /// `g` of an LSTM and a GRU, `f` of an RNN.
    fn candidate<S: Isa>(self, s: S, x: S::V) -> S::V;
    /// `h` of an LSTM.
    fn output<S: Isa>(self, s: S, x: S::V) -> S::V;
}

/// ONNX's defaults: sigmoid for gates, tanh for the rest, no clipping.
#[derive(Clone, Copy)]
pub(crate) struct Standard;

impl Activations for Standard {
    const INLINE: bool = true;

    #[inline(always)]
    fn gate<S: Isa>(self, s: S, x: S::V) -> S::V {
        sigmoid_v(s, x)
    }

    #[inline(always)]
    fn candidate<S: Isa>(self, s: S, x: S::V) -> S::V {
        tanh_v(s, x)
    }

    #[inline(always)]
    fn output<S: Isa>(self, s: S, x: S::V) -> S::V {
        tanh_v(s, x)
    }
}

/// Any activations and clipping, decided as the epilogue runs: the branches are the same for every vector.
#[derive(Clone, Copy)]
pub(crate) struct Any {
    pub(crate) clip: Option<f32>,
    pub(crate) gate: Activation,
    pub(crate) candidate: Activation,
    pub(crate) output: Activation,
}

impl Any {
    /// The activations of a cell.
    pub(crate) fn new(cell: &Cell) -> Any {
        let [gate, candidate, output] = match *cell {
            Cell::Lstm(LstmCell { activations, .. }) => activations,
            Cell::Gru(GruCell { activations: [f, g], .. }) => [f, g, g],
            Cell::Rnn(RnnCell { activation, .. }) => [activation; 3],
        };
        Any { clip: cell.clip(), gate, candidate, output }
    }

    #[inline(always)]
    fn apply<S: Isa>(self, s: S, activation: Activation, x: S::V) -> S::V {
        let x = match self.clip {
            Some(limit) => s.max(s.splat(-limit), s.min(s.splat(limit), x)),
            None => x,
        };
        activation_v(s, activation, x)
    }
}

impl Activations for Any {
    const INLINE: bool = false;

    #[inline(always)]
    fn gate<S: Isa>(self, s: S, x: S::V) -> S::V {
        self.apply(s, self.gate, x)
    }

    #[inline(always)]
    fn candidate<S: Isa>(self, s: S, x: S::V) -> S::V {
        self.apply(s, self.candidate, x)
    }

    #[inline(always)]
    fn output<S: Isa>(self, s: S, x: S::V) -> S::V {
        self.apply(s, self.output, x)
    }
}
