//! The place of a row of W or R in a panel, and the forms in which it is stored.

use crate::epilogue::PassShape;
use crate::integers::Scale;
use crate::weight_type::{WeightType, f32_to_bf16, f32_to_f16};
use crate::weights::Weights;

/// The place of the weights of one gate of a hidden unit: one lane of a panel.
pub(super) struct Column {
    pub(super) shape: PassShape,
    pub(super) lanes: usize,
    pub(super) unit: usize,
    /// The gate's index among the gates of the pass.
    pub(super) gate: usize,
}

impl Column {
    /// The number of lanes before this one, if every panel has so many groups of k.
    pub(super) fn place(&self, groups: usize) -> usize {
        let (vector, lane) = (self.unit / self.lanes, self.unit % self.lanes);
        let (panel, unit) = (vector / self.shape.units, vector % self.shape.units);
        let vector = panel * groups * self.shape.vectors() + self.gate * self.shape.units + unit;
        vector * self.lanes + lane
    }

    /// The number of lanes from one group of k to the next.
    fn stride(&self) -> usize {
        self.shape.vectors() * self.lanes
    }

    /// Stores a row of W or R in the type of the weights. For int8, `scales` gets the scale, and the sum of the integers.
    pub(super) fn store(
        &self,
        packed: &mut [u8],
        scales: &mut [f32],
        row: &[f32],
        scale: impl FnOnce() -> Scale,
        weights: &Weights<'_>,
    ) {
        let group = weights.weight_type().group();
        let row = row.iter().map(|&weight| weights.taken(weight));
        match weights.weight_type() {
            WeightType::F32 => self.scatter(packed, group, row.map(f32::to_ne_bytes)),
            WeightType::F16 => self.scatter(packed, group, row.map(|w| f32_to_f16(w).to_ne_bytes())),
            WeightType::Bf16 | WeightType::Bf16Dot => {
                self.scatter(packed, group, row.map(|w| f32_to_bf16(w).to_ne_bytes()));
            }
            WeightType::I8 => {
                let (scale, mut sum) = (scale(), 0i32);
                let integers = row.map(|weight| {
                    // `Weights` has checked that the integer is an i8.
                    let integer = scale.integer(weight) as i8;
                    sum = sum.wrapping_add(integer.into());
                    integer.to_ne_bytes()
                });
                self.scatter(packed, group, integers);
                // As a matrix of two groups of k: the scales and the sums.
                let place = self.place(2);
                scales[place] = scale.scale;
                scales[place + self.stride()] = f32::from_bits(sum.cast_unsigned());
            }
        }
    }

    /// Stores the bytes of each weight of a row, one for each k.
    fn scatter<const N: usize>(
        &self,
        packed: &mut [u8],
        group: usize,
        row: impl ExactSizeIterator<Item = [u8; N]>,
    ) {
        let first = self.place(row.len().div_ceil(group)) * group * N;
        let Some(column) = packed.get_mut(first..) else { return };
        let mut groups = column.chunks_mut(self.stride() * group * N);
        let mut row = row.peekable();
        while let (Some(to), true) = (groups.next(), row.peek().is_some()) {
            for (to, bytes) in to.chunks_mut(N).zip(row.by_ref().take(group)) {
                to.copy_from_slice(&bytes);
            }
        }
    }
}
