//! The names of instruction sets, and the plans for them.

use crate::{Failure, Status, lent, status};
use rnnpack::{Planner, Variant};
use std::ffi::{CStr, c_char};

/// The bytes of the longest name of an instruction set, with the NUL.
const NAME: usize = 16;

/// The names of all instruction sets as C strings.
const NAMES: [[u8; NAME]; Variant::COMPILED.len()] = {
    let mut names = [[0; NAME]; Variant::COMPILED.len()];
    let mut at = 0;
    while at < names.len() {
        let name = Variant::COMPILED[at].as_bytes();
        assert!(name.len() < NAME, "a longer name needs more room");
        let (to, _) = names[at].split_at_mut(name.len());
        to.copy_from_slice(name);
        at += 1;
    }
    names
};

/// The name of `variant`. It is never freed.
pub(crate) fn name(variant: Variant) -> *const c_char {
    static TEXTS: [[u8; NAME]; Variant::COMPILED.len()] = NAMES;
    let at = Variant::COMPILED.iter().position(|&name| name == variant.name());
    let text = at.and_then(|at| CStr::from_bytes_until_nul(&TEXTS[at]).ok());
    text.unwrap_or_default().as_ptr()
}

/// The planner for a named instruction set, or the default one.
///
/// # Safety
/// The contract of [`lent::text`].
pub(crate) unsafe fn planner(isa: *const c_char) -> Result<Planner, Failure> {
    Ok(match isa.is_null() {
        true => Planner::from_env()?,
        // SAFETY: by the contract.
        false => Planner::for_isa(unsafe { lent::text(isa, "isa")? })?,
    })
}

/// Gives the version of the library, such as "0.1.0".
///
/// version: out.
///
/// Owner: the library; the text lasts for ever.
/// Threads: any number at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_version(version: *mut *const c_char) -> Status {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    // SAFETY: by the contract.
    status::run(|| unsafe { lent::put(version, "version", VERSION.as_ptr().cast()) })
}

/// Gives the name of the instruction set that new layers take: "avx512", "avx2" or "portable". It is the widest that this
/// CPU has, or what the environment variable RNNPACK_ISA says. A layer with few hidden units may take a narrower one
/// where that is no slower; rnnpack_layer_get_info tells which.
///
/// isa: out.
///
/// Fails with RNNPACK_NO_ISA where the variable names none of the available ones; the message lists them.
/// Owner: the library; the text lasts for ever.
/// Threads: any number at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_isa(isa: *mut *const c_char) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe {
        lent::put(isa, "isa", std::ptr::null())?;
        lent::put(isa, "isa", name(Planner::from_env()?.widest()))
    })
}
