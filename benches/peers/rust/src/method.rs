//! The method of `rnnpack bench`, from its sources: sides that take turns call by call, with the machine's limits
//! measured between them.

#[allow(dead_code, reason = "`rnnpack bench` uses all of it")]
#[path = "../../../../src/bin/rnnpack/bench/limits.rs"]
pub(crate) mod limits;
#[allow(dead_code, reason = "`rnnpack bench` uses all of it")]
#[path = "../../../../src/bin/rnnpack/bench/timing.rs"]
pub(crate) mod timing;
