//! The eleven activation functions of ONNX.

use super::{sigmoid_v, tanh_v};
use crate::isa::scalar::Scalar;
use crate::isa::{Isa, Kernel, Variant};
use crate::math;
use core::fmt;

/// An activation function of ONNX's recurrent operators, with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `max(0, x)`
    Relu,
    /// `(1 - e^-2x) / (1 + e^-2x)`
    Tanh,
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// `alpha·x + beta`
    Affine {
        /// Slope.
        alpha: f32,
        /// Offset.
        beta: f32,
    },
    /// `x` if `x >= 0`, else `alpha·x`
    LeakyRelu {
        /// Slope of the negative side.
        alpha: f32,
    },
    /// `x` if `x >= alpha`, else 0
    ThresholdedRelu {
        /// The threshold.
        alpha: f32,
    },
    /// `alpha·tanh(beta·x)`
    ScaledTanh {
        /// Factor of the result.
        alpha: f32,
        /// Factor of the argument.
        beta: f32,
    },
    /// `min(max(alpha·x + beta, 0), 1)`
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Offset.
        beta: f32,
    },
    /// `x` if `x >= 0`, else `alpha·(e^x - 1)`
    Elu {
        /// Factor of the negative side.
        alpha: f32,
    },
    /// `x / (1 + |x|)`, with its limit ±1 at ±∞
    Softsign,
    /// `ln(1 + e^x)`
    Softplus,
}

impl Activation {
    /// Every function, with the parameters that [`Activation::by_name`] returns. Packed bytes number them in this
    /// order.
    pub(crate) const ALL: [Activation; 11] = {
        use Activation::*;
        [
            Relu,
            Tanh,
            Sigmoid,
            Affine { alpha: 1.0, beta: 0.0 },
            LeakyRelu { alpha: 0.01 },
            ThresholdedRelu { alpha: 1.0 },
            ScaledTanh { alpha: 1.0, beta: 1.0 },
            HardSigmoid { alpha: 0.2, beta: 0.5 },
            Elu { alpha: 1.0 },
            Softsign,
            Softplus,
        ]
    };

    /// The function with this name (upper or lower case), with the default parameters of ONNX's operator of that name.
    /// Affine and ScaledTanh are no current operators of ONNX. Affine gets 1 and 0, the defaults of the old operator.
    /// ScaledTanh had no defaults; it gets 1 and 1.
    pub fn by_name(name: &str) -> Option<Activation> {
        Activation::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(name))
    }

    /// The name in ONNX.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Relu => "Relu",
            Activation::Tanh => "Tanh",
            Activation::Sigmoid => "Sigmoid",
            Activation::Affine { .. } => "Affine",
            Activation::LeakyRelu { .. } => "LeakyRelu",
            Activation::ThresholdedRelu { .. } => "ThresholdedRelu",
            Activation::ScaledTanh { .. } => "ScaledTanh",
            Activation::HardSigmoid { .. } => "HardSigmoid",
            Activation::Elu { .. } => "Elu",
            Activation::Softsign => "Softsign",
            Activation::Softplus => "Softplus",
        }
    }

    /// Alpha and beta, if the function has them.
    pub fn parameters(self) -> (Option<f32>, Option<f32>) {
        match self {
            Activation::Affine { alpha, beta }
            | Activation::ScaledTanh { alpha, beta }
            | Activation::HardSigmoid { alpha, beta } => (Some(alpha), Some(beta)),
            Activation::LeakyRelu { alpha }
            | Activation::ThresholdedRelu { alpha }
            | Activation::Elu { alpha } => (Some(alpha), None),
            _ => (None, None),
        }
    }

    /// The same function with other parameters. `None` keeps a parameter. Parameters that the function does not have
    /// are ignored.
    pub fn with_parameters(self, new_alpha: Option<f32>, new_beta: Option<f32>) -> Activation {
        let mut changed = self;
        if let Activation::Affine { alpha, beta }
        | Activation::ScaledTanh { alpha, beta }
        | Activation::HardSigmoid { alpha, beta } = &mut changed
        {
            *beta = new_beta.unwrap_or(*beta);
            *alpha = new_alpha.unwrap_or(*alpha);
        }
        if let Activation::LeakyRelu { alpha }
        | Activation::ThresholdedRelu { alpha }
        | Activation::Elu { alpha } = &mut changed
        {
            *alpha = new_alpha.unwrap_or(*alpha);
        }
        changed
    }

    /// The function in f32: the kernels' formula on one lane.
    pub fn eval(self, x: f32) -> f32 {
        activation_v(Scalar, self, x)
    }

    /// Applies the function to every element, with the kernels of `variant`.
    pub fn eval_slice(self, variant: Variant, x: &mut [f32]) {
        variant.dispatch(Map { activation: self, x })
    }

    /// The function in f64.
    ///
    /// If a function has no vector code, the f32 kernels compute it here and round the result. Such functions take
    /// their exponentials and logarithm from the crate `libm` and not from the system, so their bits are the same
    /// everywhere.
    pub fn eval64(self, x: f64) -> f64 {
        let wide = f64::from;
        match self {
            Activation::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Activation::Tanh => math::tanh(x),
            Activation::Sigmoid => 1.0 / (1.0 + math::exp(-x)),
            Activation::Affine { alpha, beta } => wide(alpha) * x + wide(beta),
            Activation::LeakyRelu { alpha } => {
                if x < 0.0 {
                    wide(alpha) * x
                } else {
                    x
                }
            }
            Activation::ThresholdedRelu { alpha } => {
                if x < wide(alpha) {
                    0.0
                } else {
                    x
                }
            }
            Activation::ScaledTanh { alpha, beta } => wide(alpha) * math::tanh(wide(beta) * x),
            Activation::HardSigmoid { alpha, beta } => (wide(alpha) * x + wide(beta)).clamp(0.0, 1.0),
            Activation::Elu { alpha } => {
                if x < 0.0 {
                    wide(alpha) * libm::expm1(x)
                } else {
                    x
                }
            }
            Activation::Softsign if x.is_infinite() => x.signum(),
            Activation::Softsign => x / (1.0 + x.abs()),
            // The argument of exp is never positive, so it does not overflow.
            Activation::Softplus => (if x > 0.0 { x } else { 0.0 }) + libm::log1p(libm::exp(-x.abs())),
        }
    }
}

impl fmt::Display for Activation {
    /// The name, with the parameters if there are any: `LeakyRelu(0.01)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parameters() {
            (Some(alpha), Some(beta)) => write!(f, "{}({alpha}, {beta})", self.name()),
            (Some(alpha), None) => write!(f, "{}({alpha})", self.name()),
            _ => f.write_str(self.name()),
        }
    }
}

struct Map<'a> {
    activation: Activation,
    x: &'a mut [f32],
}

impl Kernel for Map<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, s: S) {
        // The last vector may reach beyond the slice, so the elements go through a buffer.
        const LANES: usize = 64;
        const { assert!(LANES.is_multiple_of(S::LANES)) };
        for chunk in self.x.chunks_mut(LANES) {
            let mut buffer = [0.0; LANES];
            buffer[..chunk.len()].copy_from_slice(chunk);
            for at in (0..LANES).step_by(S::LANES) {
                let p = buffer[at..].as_mut_ptr();
                // SAFETY: LANES is a multiple of S::LANES, so `p` points to a whole vector.
                unsafe { s.store(p, activation_v(s, self.activation, s.load(p))) }
            }
            chunk.copy_from_slice(&buffer[..chunk.len()]);
        }
    }
}

/// Applies the function to every lane. NaN stays NaN.
#[inline(always)]
pub(crate) fn activation_v<S: Isa>(s: S, activation: Activation, x: S::V) -> S::V {
    match activation {
        Activation::Sigmoid => sigmoid_v(s, x),
        Activation::Tanh => tanh_v(s, x),
        Activation::Relu => s.max(s.splat(0.0), x),
        Activation::Affine { alpha, beta } => s.mul_add(s.splat(alpha), x, s.splat(beta)),
        Activation::HardSigmoid { alpha, beta } => {
            let line = s.mul_add(s.splat(alpha), x, s.splat(beta));
            s.max(s.splat(0.0), s.min(s.splat(1.0), line))
        }
        Activation::ScaledTanh { alpha, beta } => s.mul(s.splat(alpha), tanh_v(s, s.mul(s.splat(beta), x))),
        rare => by_lane(s, rare, x),
    }
}

/// Computes a function lane by lane in f64, and rounds the results to f32.
#[inline(always)]
fn by_lane<S: Isa>(s: S, activation: Activation, x: S::V) -> S::V {
    const MOST: usize = 64;
    const { assert!(S::LANES <= MOST) };
    let mut lanes = [0.0f32; MOST];
    // SAFETY: there is room for a vector.
    unsafe { s.store(lanes.as_mut_ptr(), x) };
    round_each(s, activation, &mut lanes[..S::LANES]);
    // SAFETY: as above.
    unsafe { s.load(lanes.as_ptr()) }
}

/// It is not inlined, so that it does not enlarge the tiles.
#[cold]
#[inline(never)]
fn round_each<S: Isa>(s: S, activation: Activation, lanes: &mut [f32]) {
    for x in lanes {
        *x = s.narrow(activation.eval64(s.widen(*x)));
    }
}

#[cfg(test)]
mod tests;
