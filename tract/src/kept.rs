//! Marks what our operators keep from one call to the next: only memory, no values.

use tract_onnx::tract_hir::internal::*;

/// The memory of an operator of this crate. Another run of the same plan may use it. What an operator of tract keeps
/// may not be used again.
#[derive(Debug, Clone)]
pub(crate) struct Kept(Box<dyn OpState>);

impl Kept {
    /// The state of an operator that keeps `memory`.
    pub(crate) fn state(memory: impl OpState) -> TractResult<Option<Box<dyn OpState>>> {
        Ok(Some(Box::new(Kept(Box::new(memory)))))
    }

    #[cfg(test)]
    pub(crate) fn memory(&self) -> &dyn OpState {
        &*self.0
    }
}

impl OpState for Kept {
    fn eval(&mut self, ctx: &EvalContext, op: &dyn Op, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(ctx, op, inputs)
    }

    fn reset_lanes(&mut self, lanes: &[LaneId]) -> TractResult<()> {
        self.0.reset_lanes(lanes)
    }
}
