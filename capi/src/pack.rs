//! How weights are packed: their type, the instruction set, and what becomes of subnormal numbers.

use crate::{Failure, LayerHandle, isa, lent};
use rnnpack::{Error, Layer, LayerWeights, Planner, Subnormals, WeightType};
use std::ffi::c_char;
use std::mem::offset_of;

/// Subnormals: computed exactly, as the standard says. On many CPUs they cost a hundred cycles each.
pub const RNNPACK_SUBNORMALS_KEEP: i32 = 0;
/// Subnormals: weights that are subnormal become zero when they are packed; all else is computed exactly.
pub const RNNPACK_SUBNORMALS_FLUSH_WEIGHTS: i32 = 1;
/// Subnormals: weights likewise; and in calls every operation takes subnormal operands for zero and gives zero for a subnormal
/// result. The same bits come out on every x86 instruction set with fused multiply-adds.
pub const RNNPACK_SUBNORMALS_FLUSH: i32 = 2;

pub(crate) const SUBNORMALS: [Subnormals; 3] =
    [Subnormals::Keep, Subnormals::FlushWeights, Subnormals::Flush];

/// Type of W and R: f32 where pointers give them. The layer of an ONNX node has the type of 16 bits that holds each element
/// of W and R exactly, as where the file stores 16 bits, and else f32: no bit of a result depends on it. That of a
/// DynamicQuantizeLSTM node has int8, with the integers and the scales of the file.
pub const RNNPACK_WEIGHT_TYPE_GIVEN: i32 = 0;
/// Type of W and R: f32, 4 bytes.
pub const RNNPACK_WEIGHT_TYPE_F32: i32 = 1;
/// Type of W and R: bf16, 2 bytes, with 8 significant bits. Weights are rounded to the nearest; arithmetic is f32.
pub const RNNPACK_WEIGHT_TYPE_BF16: i32 = 2;
/// Type of W and R: f16, 2 bytes, with 11 significant bits and numbers to 65504. Weights are rounded to the nearest; arithmetic
/// is f32.
pub const RNNPACK_WEIGHT_TYPE_F16: i32 = 3;

/// Type of W and R: int8, 1 byte, with a scale for each row of a gate that makes its largest weight 127 or -127. Rows of x and h
/// become integers of 8 bits too, at every step and each with a scale of its own; sums of products are exact integers. A row of x
/// with NaN or an infinity makes all gates NaN.
pub const RNNPACK_WEIGHT_TYPE_INT8: i32 = 4;

/// Type of W and R: bf16, and rows of x and h are rounded to bf16 too, for the dot products of bf16 that some CPUs have. It is
/// outside of the promise of equal bits: results depend on the instruction set.
pub const RNNPACK_WEIGHT_TYPE_BF16_DOT: i32 = 5;

pub(crate) const WEIGHT_TYPES: [Option<WeightType>; 6] = [
    None,
    Some(WeightType::F32),
    Some(WeightType::Bf16),
    Some(WeightType::F16),
    Some(WeightType::I8),
    Some(WeightType::Bf16Dot),
];

/// How a layer is packed. Set all of it to zero first, then size and what differs from the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PackDesc {
    /// sizeof(rnnpack_pack_desc).
    pub size: usize,
    /// RNNPACK_SUBNORMALS_KEEP, RNNPACK_SUBNORMALS_FLUSH_WEIGHTS or RNNPACK_SUBNORMALS_FLUSH.
    pub subnormals: i32,
    /// Name of the instruction set to pack for; all with fused multiply-adds give the same bits. NULL: that of rnnpack_isa.
    pub isa: *const c_char,
    /// The type in which W and R are stored, such as RNNPACK_WEIGHT_TYPE_BF16. The default: RNNPACK_WEIGHT_TYPE_GIVEN.
    pub weight_type: i32,
}

// SAFETY: zeros are numbers and a NULL pointer, and a `usize` stands before the last member.
unsafe impl lent::Structure for PackDesc {
    const EARLIER: &'static [usize] = &[offset_of!(PackDesc, weight_type)];
}

/// A [`PackDesc`] that was checked.
pub(crate) struct Packing {
    planner: Planner,
    subnormals: Subnormals,
    /// `None`: as the weights are given.
    weight_type: Option<WeightType>,
}

impl Packing {
    /// The packing that `desc` describes; the defaults if it is NULL.
    ///
    /// # Safety
    /// The contract holds for everything that `desc` points to.
    pub(crate) unsafe fn new(desc: *const PackDesc) -> Result<Packing, Failure> {
        if desc.is_null() {
            let planner = Planner::from_env()?;
            return Ok(Packing { planner, subnormals: Subnormals::Keep, weight_type: None });
        }
        // SAFETY: by the contract.
        unsafe {
            let desc = lent::read(desc, "pack")?;
            let subnormals = lent::choice(desc.subnormals, "subnormals", &SUBNORMALS)?;
            let weight_type = lent::choice(desc.weight_type, "weight_type", &WEIGHT_TYPES)?;
            Ok(Packing { planner: isa::planner(desc.isa)?, subnormals, weight_type })
        }
    }

    /// The type of weights, or `None`: as they are given.
    pub(crate) fn weight_type(&self) -> Option<WeightType> {
        self.weight_type
    }

    pub(crate) fn layer(&self, weights: LayerWeights<'_>) -> Result<LayerHandle, Error> {
        let mut weights = weights.with_subnormals(self.subnormals)?;
        if let Some(weight_type) = self.weight_type {
            weights = weights.with_type(weight_type)?;
        }
        let plan = self.planner.plan(weights.cell(), weights.shape());
        LayerHandle::new(vec![Layer::with_plan(&weights, plan)?])
    }
}
