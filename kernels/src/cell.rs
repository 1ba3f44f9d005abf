//! Cells: what happens to the gates' accumulators before they leave the registers.

pub(crate) mod lstm;
