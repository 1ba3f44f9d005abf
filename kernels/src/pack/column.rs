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

    /// Stores a row of W or R in the type of the weights, which is not int8.
    pub(super) fn numbers(&self, packed: &mut [u8], row: &[f32], weights: &Weights<'_>) {
        let group = weights.weight_type().group();
        let row = row.iter().map(|&weight| weights.taken(weight));
        match weights.weight_type() {
            WeightType::Bf16 | WeightType::Bf16Dot => {
                self.scatter(packed, group, row.map(|w| f32_to_bf16(w).to_ne_bytes()));
            }
            WeightType::F16 => self.scatter(packed, group, row.map(|w| f32_to_f16(w).to_ne_bytes())),
            WeightType::F32 => self.scatter(packed, group, row.map(f32::to_ne_bytes)),
            WeightType::I8 => unreachable!("integers have scales"),
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

    /// Stores a row of W or R as integers, with its scale and the sum of the integers.
    pub(super) fn integers(
        &self,
        [packed, scales]: [&mut [u8]; 2],
        row: &[f32],
        scale: Scale,
        weights: &Weights<'_>,
    ) {
        let group = weights.weight_type().group();
        let first = self.place(row.len().div_ceil(group)) * group;
        let mut sum = 0i32;
        for (k, &weight) in row.iter().enumerate() {
            // `Weights` has checked that the integer is an i8.
            let integer = scale.integer(weights.taken(weight)) as i8;
            packed[first + k / group * self.stride() * group + k % group] = integer as u8;
            sum = sum.wrapping_add(integer.into());
        }
        // As a matrix of two groups of k: the scales and the sums.
        let place = self.place(2) * size_of::<f32>();
        scales[place..][..4].copy_from_slice(&scale.scale.to_ne_bytes());
        scales[place + self.stride() * size_of::<f32>()..][..4].copy_from_slice(&sum.to_ne_bytes());
    }
}
