//! The variation of an activation within an interval, whether it is monotone or not.

use rnnpack::Activation;

/// The largest distance of the value at any argument within `e` of `x` from the value at `x`, in f64.
pub fn variation(activation: Activation, x: f64, e: f64) -> f64 {
    let at = |x: f64| activation.eval64(x);
    let (low, high) = (x - e, x + e);
    // Every activation is monotone between each end of the interval and its bend.
    let bend = match activation {
        Activation::LeakyRelu { .. } | Activation::Elu { .. } => Some(0.0),
        // The function jumps from 0 here. 0 is also the value at `low` in this case.
        Activation::ThresholdedRelu { alpha } => Some(alpha.into()),
        _ => None,
    };
    let bend = bend.filter(|&bend| low < bend && bend < high).unwrap_or(low);
    [low, bend, high].into_iter().map(|end| (at(end) - at(x)).abs()).fold(0.0, f64::max)
}
