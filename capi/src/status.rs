//! Status codes, and the message of the last failed call.

use std::any::Any;
use std::cell::Cell;
use std::ffi::c_char;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a function returns: one of the constants below. All but RNNPACK_OK are failures.
pub type Status = i32;

/// It worked.
pub const RNNPACK_OK: i32 = 0;
/// A pointer that is needed is NULL.
pub const RNNPACK_NULL_POINTER: i32 = 1;
/// The first member of a structure is not the structure's size as this library knows it.
pub const RNNPACK_STRUCT_SIZE: i32 = 2;
/// A constant, a flag, a name or an option is none that can be taken.
pub const RNNPACK_ARGUMENT: i32 = 3;
/// Sizes, counts, strides or lengths disagree with each other or with the layer, or overflow.
pub const RNNPACK_SHAPE: i32 = 4;
/// A pointer is not aligned for its type.
pub const RNNPACK_ALIGNMENT: i32 = 5;
/// Memory that is written overlaps other memory of the call, or rows of y overlap each other.
pub const RNNPACK_OVERLAP: i32 = 6;
/// A weight is NaN or infinite, or beyond the range of the type to store it in.
pub const RNNPACK_WEIGHTS: i32 = 7;
/// The node of an ONNX file is not computed here; the message names the node and its attribute, input or type.
pub const RNNPACK_UNSUPPORTED: i32 = 8;
/// The bytes are no ONNX model, or break the rules of ONNX.
pub const RNNPACK_ONNX: i32 = 9;
/// There is no file, node or row of this name or index.
pub const RNNPACK_NOT_FOUND: i32 = 10;
/// Memory cannot be had.
pub const RNNPACK_MEMORY: i32 = 11;
/// Another call uses the state or the scratch at this moment.
pub const RNNPACK_BUSY: i32 = 12;
/// The instruction set that is asked for, by an argument or by the variable RNNPACK_ISA, is not available here.
pub const RNNPACK_NO_ISA: i32 = 13;
/// Another thread used the state or the scratch when this process was forked, so that nobody knows what it holds. A state
/// works again after rnnpack_state_reset; instead of the scratch, take a new one.
pub const RNNPACK_FORKED: i32 = 14;
/// The call was stopped by its stop.
pub const RNNPACK_STOPPED: i32 = 15;
/// The bytes are no packed layer that can be used here; the message says why: they are altered, of another version, for
/// another instruction set.
pub const RNNPACK_BYTES: i32 = 16;
/// A defect of the library, stopped before it reached the caller. The handles of the call can only be freed.
pub const RNNPACK_INTERNAL: i32 = 17;

/// A failed call. Its message is stored when this is made, so a failure takes no memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    status: Status,
}

impl Failure {
    /// Stores the message. So only a call that then fails may make this.
    #[cold]
    pub(crate) fn new(status: Status, reason: fmt::Arguments<'_>) -> Failure {
        remember(reason);
        Failure { status }
    }

    fn panic(payload: &(dyn Any + Send)) -> Failure {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
        Failure::new(RNNPACK_INTERNAL, format_args!("a defect of rnnpack: {text}"))
    }
}

impl From<rnnpack::Error> for Failure {
    fn from(error: rnnpack::Error) -> Failure {
        Failure::new(status_of(&error), format_args!("{error}"))
    }
}

impl From<rnnpack_onnx::Error> for Failure {
    fn from(error: rnnpack_onnx::Error) -> Failure {
        use rnnpack_onnx::Error::{File, Function, Layer, Malformed, Name, Opset, Tensor};
        let status = match &error {
            Malformed { .. } | Opset { .. } | Name { .. } | Function { .. } | Tensor { .. } => RNNPACK_ONNX,
            File { .. } => RNNPACK_NOT_FOUND,
            Layer { source, .. } => status_of(source),
            _ => RNNPACK_UNSUPPORTED,
        };
        Failure::new(status, format_args!("{error}"))
    }
}

impl From<rnnpack::KernelError> for Failure {
    fn from(error: rnnpack::KernelError) -> Failure {
        rnnpack::Error::Kernel(error).into()
    }
}

fn status_of(error: &rnnpack::Error) -> Status {
    use rnnpack::KernelError as Kernel;
    match error {
        rnnpack::Error::Kernel(error) => match error {
            Kernel::Overlap => RNNPACK_OVERLAP,
            Kernel::NotFinite { .. } | Kernel::OutOfRange { .. } | Kernel::NoMultiple { .. } => {
                RNNPACK_WEIGHTS
            }
            Kernel::Option { .. } | Kernel::CannotFlush => RNNPACK_ARGUMENT,
            Kernel::Memory { .. } => RNNPACK_MEMORY,
            Kernel::Bytes(_) => RNNPACK_BYTES,
            _ => RNNPACK_SHAPE,
        },
        rnnpack::Error::Elements { .. } | rnnpack::Error::Stack { .. } | rnnpack::Error::EmptyStack => {
            RNNPACK_SHAPE
        }
        rnnpack::Error::Stopped => RNNPACK_STOPPED,
        rnnpack::Error::Row { .. } => RNNPACK_NOT_FOUND,
        rnnpack::Error::UnknownIsa { .. } => RNNPACK_NO_ISA,
        _ => RNNPACK_INTERNAL,
    }
}

/// The size of a message with its NUL, in bytes.
const MESSAGE: usize = 1024;

thread_local! {
    /// The message of the last failed call of this thread. It has a fixed place, so it needs no allocation. It lives
    /// as long as the thread.
    static LAST: [Cell<u8>; MESSAGE] = const { [const { Cell::new(0) }; MESSAGE] };
}

/// A message that is being written. It is not written to its place at once: a name in it may be the last message.
struct Text {
    bytes: [u8; MESSAGE],
    len: usize,
}

impl Write for Text {
    /// Takes as much of `part` as fits, and leaves room for the NUL.
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let cut = part.floor_char_boundary(MESSAGE - 1 - self.len);
        let end = self.len + cut;
        self.bytes[self.len..end].copy_from_slice(&part.as_bytes()[..cut]);
        self.len = end;
        // Nothing may follow what was cut.
        if cut == part.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Stores as much of `reason` as fits.
fn remember(reason: fmt::Arguments<'_>) {
    let mut text = Text { bytes: [0; MESSAGE], len: 0 };
    // An error means that the message was cut.
    let _ = text.write_fmt(reason);
    // A NUL in a name of a file must not end the message. So it is replaced.
    let bytes = text.bytes[..text.len].iter().map(|&byte| if byte == 0 { b' ' } else { byte });
    LAST.with(|last| last.iter().zip(bytes.chain([0])).for_each(|(to, byte)| to.set(byte)));
}

/// Runs the body of a function of the interface and returns its status.
pub(crate) fn run(body: impl FnOnce() -> Result<(), Failure>) -> Status {
    // If a panic interrupts a computation, the state still holds numbers. So nothing unsound can be seen later.
    let result =
        catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(Failure::panic(&*payload)));
    match result {
        Ok(()) => RNNPACK_OK,
        Err(Failure { status }) => status,
    }
}

/// Says why the last failed call of this thread failed, in English, for people; empty where none has failed yet. Calls that
/// work leave it as it is. Never NULL; at most 1023 bytes of UTF-8.
///
/// Owner: the library. The text lasts until the next failed call of this thread, and no longer than the thread.
/// Threads: each has its own.
#[unsafe(no_mangle)]
pub extern "C" fn rnnpack_message() -> *const c_char {
    LAST.with(|last| last.as_ptr().cast())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn a_panic_becomes_a_status_with_its_words() {
        for body in [|| panic!("no such gate"), || panic!("no such {}", "gate")] {
            assert_eq!(run(body), RNNPACK_INTERNAL);
            // SAFETY: the message is a text that lasts until this thread's next failed call.
            let message = unsafe { CStr::from_ptr(rnnpack_message()) };
            assert_eq!(message.to_str(), Ok("a defect of rnnpack: no such gate"));
        }
    }

    #[test]
    fn a_nul_does_not_end_a_message() {
        remember(format_args!("a\0b"));
        // SAFETY: as above.
        assert_eq!(unsafe { CStr::from_ptr(rnnpack_message()) }, c"a b");
    }
}
