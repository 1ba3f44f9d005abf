//! How a caller stops a long call.

use crate::environment;
use crate::subnormals::Subnormals;
use core::fmt;

/// A question that a call asks once for each chunk of time steps: shall it stop? It may be asked on any thread of the
/// call.
#[derive(Clone, Copy)]
pub struct Stop<'a>(pub &'a (dyn Fn() -> bool + Sync));

impl Stop<'_> {
    /// Whether the call shall stop. The caller's code is asked in the default floating-point environment, also if the call
    /// flushes subnormals.
    pub fn is_wanted(self) -> bool {
        environment::within(Subnormals::Keep, self.0)
    }
}

impl fmt::Debug for Stop<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stop")
    }
}
