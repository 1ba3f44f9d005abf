//! Packed weights: the panels that the register tiles stream through.
//!
//! A *panel* is one vector of hidden units. W and R are stored as `[panel][k][gate][lane]`, the bias (Wb + Rb) as
//! `[panel][gate][lane]`; the hidden size is padded with zeros to whole panels. For 16 lanes, H = 20:
//!
//! ```text
//! panel 0, k = 0 │ i₀ … i₁₅ │ o₀ … o₁₅ │ f₀ … f₁₅ │ c₀ … c₁₅ │   4 cache lines
//!          k = 1 │ i₀ … i₁₅ │ …
//!          ⋮
//! panel 1, k = 0 │ i₁₆ … i₁₉ 0 … 0 │ o₁₆ …
//! ```

use crate::Error;
use crate::aligned::AlignedBuf;
use crate::isa::Variant;
use crate::weights::{GATES, Weights};

/// The weights of one direction, packed for one variant.
///
/// # Invariant
/// `w`, `r` and `bias` have the lengths that [`Packed::new`] gives them.
pub struct Packed {
    variant: Variant,
    input: usize,
    hidden: usize,
    panels: usize,
    w: AlignedBuf,
    r: AlignedBuf,
    bias: AlignedBuf,
}

impl Packed {
    /// Packs the weights for `variant`.
    ///
    /// # Errors
    /// [`Error::Overflow`] and [`Error::Memory`] where the packed weights do not fit into memory.
    pub fn new(variant: Variant, weights: &Weights<'_>) -> Result<Packed, Error> {
        let (input, hidden, lanes) = (weights.input(), weights.hidden(), variant.lanes());
        let panels = hidden.div_ceil(lanes);
        let rows = panels.checked_mul(lanes * GATES).ok_or(Error::Overflow { what: "packed weights" })?;
        let zeroed = |what, k: usize| {
            let floats = rows.checked_mul(k).ok_or(Error::Overflow { what })?;
            AlignedBuf::zeroed(floats).ok_or(Error::Memory { what, floats })
        };
        let mut packed = Packed {
            variant,
            input,
            hidden,
            panels,
            w: zeroed("packed W", input)?,
            r: zeroed("packed R", hidden)?,
            bias: zeroed("packed bias", 1)?,
        };
        pack(&mut packed.w, lanes, hidden, |gate, unit| weights.w_row(gate, unit));
        pack(&mut packed.r, lanes, hidden, |gate, unit| weights.r_row(gate, unit));
        for unit in 0..hidden {
            for gate in 0..GATES {
                let (wb, rb) = weights.bias(gate, unit).unwrap_or((0.0, 0.0));
                packed.bias[index(lanes, 1, unit, 0, gate)] = wb + rb;
            }
        }
        Ok(packed)
    }

    /// The variant that the weights are packed for.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Input size I.
    pub fn input(&self) -> usize {
        self.input
    }

    /// Hidden size H.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Panels: ⌈H / lanes⌉.
    pub fn panels(&self) -> usize {
        self.panels
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        (self.w.len() + self.r.len() + self.bias.len()) * size_of::<f32>()
    }

    pub(crate) fn w(&self) -> &[f32] {
        &self.w
    }

    pub(crate) fn r(&self) -> &[f32] {
        &self.r
    }

    pub(crate) fn bias(&self) -> &[f32] {
        &self.bias
    }
}

/// Where element (unit, k, gate) of a matrix with `depth` columns stands.
fn index(lanes: usize, depth: usize, unit: usize, k: usize, gate: usize) -> usize {
    let (panel, lane) = (unit / lanes, unit % lanes);
    ((panel * depth + k) * GATES + gate) * lanes + lane
}

fn pack<'a>(out: &mut [f32], lanes: usize, hidden: usize, row: impl Fn(usize, usize) -> &'a [f32]) {
    for unit in 0..hidden {
        for gate in 0..GATES {
            let row = row(gate, unit);
            let Some(column) = out.get_mut(index(lanes, row.len(), unit, 0, gate)..) else { continue };
            for (to, &value) in column.iter_mut().step_by(GATES * lanes).zip(row) {
                *to = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::GateOrder;

    #[test]
    fn every_weight_stands_once_in_its_panel_and_padding_is_zero() {
        let (input, hidden) = (3, 18);
        let count = 4 * hidden * input;
        let w: Vec<f32> = (1..=count).map(|x| x as f32).collect();
        let r = vec![0.5; 4 * hidden * hidden];
        let weights = Weights::new([input, hidden], GateOrder::Iofc, &w, &r, [None, None]).unwrap();
        for variant in Variant::available() {
            let packed = Packed::new(variant, &weights).unwrap();
            let lanes = variant.lanes();
            assert_eq!(packed.w.len(), 4 * input * hidden.next_multiple_of(lanes));
            let (panel, lane) = (17 / lanes, 17 % lanes);
            // Gate 2 (forget), unit 17, k = 1.
            assert_eq!(
                packed.w[((panel * input + 1) * 4 + 2) * lanes + lane],
                w[(2 * hidden + 17) * input + 1]
            );
            let mut seen: Vec<f32> = packed.w.iter().copied().filter(|&x| x != 0.0).collect();
            seen.sort_by(f32::total_cmp);
            assert_eq!(seen, w, "{variant}");
        }
    }
}
