//! How weights are packed: the instruction set, and what becomes of subnormal numbers.

use crate::{Failure, LayerHandle, isa, lent};
use rnnpack::{Error, Layer, LayerWeights, Planner, Subnormals};
use std::ffi::c_char;

/// Subnormals: computed exactly, as the standard says. On many CPUs they cost a hundred cycles each.
pub const RNNPACK_SUBNORMALS_KEEP: i32 = 0;
/// Subnormals: weights that are subnormal become zero when they are packed; all else is computed exactly.
pub const RNNPACK_SUBNORMALS_FLUSH_WEIGHTS: i32 = 1;
/// Subnormals: weights likewise; and in calls every operation takes subnormal operands for zero and gives zero for a subnormal
/// result. The same bits come out on every x86 instruction set with fused multiply-adds.
pub const RNNPACK_SUBNORMALS_FLUSH: i32 = 2;

pub(crate) const SUBNORMALS: [Subnormals; 3] =
    [Subnormals::Keep, Subnormals::FlushWeights, Subnormals::Flush];

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
}

/// A [`PackDesc`] that was checked.
pub(crate) struct Packing {
    planner: Planner,
    subnormals: Subnormals,
}

impl Packing {
    /// The packing that `desc` describes; the defaults if it is NULL.
    ///
    /// # Safety
    /// The contract holds for everything that `desc` points to.
    pub(crate) unsafe fn new(desc: *const PackDesc) -> Result<Packing, Failure> {
        if desc.is_null() {
            return Ok(Packing { planner: Planner::from_env()?, subnormals: Subnormals::Keep });
        }
        // SAFETY: by the contract.
        unsafe {
            let desc = lent::read(desc, "pack")?;
            let subnormals = lent::choice(desc.subnormals, "subnormals", &SUBNORMALS)?;
            Ok(Packing { planner: isa::planner(desc.isa)?, subnormals })
        }
    }

    pub(crate) fn layer(&self, weights: LayerWeights<'_>) -> Result<LayerHandle, Error> {
        let weights = weights.with_subnormals(self.subnormals)?;
        let plan = self.planner.plan(weights.cell(), weights.shape());
        LayerHandle::new(vec![Layer::with_plan(&weights, plan)?])
    }
}
