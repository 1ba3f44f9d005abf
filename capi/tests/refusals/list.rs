//! The list of refused calls.

use crate::support::message;
use rnnpack_capi::{RNNPACK_OK, Status};

/// A number of elements beyond all memory.
pub(crate) const HUGE: usize = usize::MAX / 4;

/// The functions whose calls were refused.
#[derive(Default)]
pub(crate) struct Refused(pub(crate) Vec<&'static str>);

/// What may be called in real time.
fn is_of_real_time(function: &str) -> bool {
    let of_state =
        function.starts_with("rnnpack_state_") && !function.ends_with("_new") && !function.ends_with("_free");
    of_state || ["rnnpack_forward", "rnnpack_step"].contains(&function)
}

impl Refused {
    /// Makes a call and checks its status, its message, and that it allocates nothing if it may be called in real time.
    #[track_caller]
    pub(crate) fn add(
        &mut self,
        function: &'static str,
        expected: Status,
        words: &str,
        call: impl FnOnce() -> Status,
    ) {
        let mut got = RNNPACK_OK;
        let allocations = allocation_counter::measure(|| got = call());
        if is_of_real_time(function) {
            assert_eq!(allocations.count_total, 0, "{function}: {words}: {allocations:?}");
        }
        let message = message();
        assert!(
            got == expected && message.contains(words),
            "{function}: {got}, expected {expected}: {message}"
        );
        self.0.push(function);
    }
}

/// Calls a function. It must return the given status, and the message must contain the given words.
macro_rules! refused {
    ($list:ident, $status:ident, $words:expr, $function:ident($($argument:expr),* $(,)?)) => {
        $list.add(stringify!($function), $status, $words, || c!($function($($argument),*)))
    };
}
pub(crate) use refused;

/// A misaligned pointer next to a valid one.
pub(crate) fn misaligned<T>(pointer: *const T) -> *mut T {
    pointer.wrapping_byte_add(1).cast_mut()
}
