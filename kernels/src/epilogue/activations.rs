//! The activations of a cell, as an epilogue calls them: the default ones, or any.

use crate::activation::{Activation, activation_v, sigmoid_v, tanh_v};
use crate::isa::Isa;

/// The activations of a cell, with the clipping of their arguments.
pub(crate) trait Activations: Copy {
    /// See [`Epilogue::INLINE`](super::Epilogue::INLINE).
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

/// Any activations and clipping, chosen while the epilogue runs. The branches are the same for every vector.
#[derive(Clone, Copy)]
pub(crate) struct Any {
    pub(crate) clip: Option<f32>,
    pub(crate) gate: Activation,
    pub(crate) candidate: Activation,
    pub(crate) output: Activation,
}

impl Any {
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
