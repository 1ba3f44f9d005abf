//! The floating-point environment of a call: every share of a call computes in the same one, whatever the thread had.
//!
//! Results are rounded to the nearest number, ties to even; exceptions do not trap; subnormal numbers are kept, or
//! flushed where the layer says so. The thread's own environment is back when the call returns, also after a panic. A
//! call may set the status flags of the thread's environment, or leave them.
//!
//! # The rule of flushing
//! The rule of [`Subnormals::Flush`] holds for every operation by itself. A subnormal operand counts as zero, with its
//! sign. A result that is *tiny* becomes zero, with its sign. Let `r` be the exact result before rounding.
//!
//! - On x86, `r` is tiny if it would round to a number below `2^-126` in a format whose exponents have no lower limit:
//!   `|r| < 2^-126 - 2^-151`. (At this limit a tie rounds to the even number, `2^-126`.)
//! - On AArch64, `r` is tiny if it is below `2^-126` before it is rounded: `|r| < 2^-126`.
//!
//! Sources: Intel's Software Developer's Manual, volume 1, sections 10.2.3.3, 10.2.3.4 and 11.5.2.3; Arm's Architecture
//! Reference Manual, `FPCR.FZ` and the pseudocode of `FPRound`. The two rules differ for the few `r` in between: x86
//! returns `2^-126` for them.
//!
//! Moving data is no operation: a copied subnormal stays. The smaller or larger of two numbers is one of them; if that is
//! subnormal, it may be copied or flushed. No layer has such numbers, since its sums are results and its options are
//! checked.
//!
//! # Why this is sound
//! Rust code assumes the default environment, which is also the one that a call runs in, except for
//! [`Subnormals::Flush`]. All numbers that a call computes with are read from memory after the environment was set, and
//! all results are written to memory before it is restored. The compiler moves no access to memory across the `asm!`
//! blocks. Constants that it folds at compile time are normal numbers. It takes `x · 1` with a constant 1 for `x`, which
//! would keep a subnormal; the kernels have no such product.

use crate::subnormals::Subnormals;

/// Whether this machine can flush subnormals.
const CAN_FLUSH: bool = control::CAN_FLUSH;

impl Subnormals {
    /// Whether this machine has what the choice needs.
    pub const fn is_available(self) -> bool {
        !matches!(self, Subnormals::Flush) || CAN_FLUSH
    }
}

/// Calls `f` in the environment of a call with this treatment of subnormals. Without a way to flush here, it keeps them;
/// packing has refused the layer then.
#[inline(always)]
pub fn within<R>(subnormals: Subnormals, f: impl FnOnce() -> R) -> R {
    let _restored = Restore::enter(matches!(subnormals, Subnormals::Flush));
    f()
}

/// The thread's own environment, restored when this is dropped.
struct Restore {
    /// The control register before, if it had to be changed.
    before: Option<control::Word>,
}

impl Restore {
    #[inline(always)]
    fn enter(flush: bool) -> Restore {
        let before = control::read();
        let wanted = control::wanted(before, flush);
        if before == wanted {
            return Restore { before: None };
        }
        control::write(wanted);
        Restore { before: Some(before) }
    }
}

impl Drop for Restore {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(before) = self.before {
            control::write(before);
        }
    }
}

/// MXCSR: flags in bits 0 to 5, DAZ in 6, masks of exceptions in 7 to 12, rounding in 13 and 14, FTZ in 15.
#[cfg(all(any(target_arch = "x86_64", target_arch = "x86"), target_feature = "sse"))]
mod control {
    use core::arch::asm;

    pub(super) type Word = u32;
    pub(super) const CAN_FLUSH: bool = true;
    const FLAGS: u32 = 0x003f;
    const MASKED: u32 = 0x1f80;
    const FLUSH: u32 = 0x8040;

    #[inline(always)]
    pub(super) fn read() -> u32 {
        let mut word = 0u32;
        // SAFETY: stores 4 bytes to `word`. SSE is part of the compilation target.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack, preserves_flags)) };
        word
    }

    #[inline(always)]
    pub(super) fn write(word: u32) {
        // SAFETY: reads 4 bytes of `word`, which is a value that MXCSR had, with other modes; no reserved bit is set.
        // The module says why other modes are sound.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack, preserves_flags)) };
    }

    #[inline(always)]
    pub(super) fn wanted(before: u32, flush: bool) -> u32 {
        before & FLAGS | MASKED | if flush { FLUSH } else { 0 }
    }
}

/// FPCR: FIZ in bit 0, AH in 1, NEP in 2, traps in 8 to 12 and 15, FZ16 in 19, rounding in 22 and 23, FZ in 24, DN in 25.
#[cfg(target_arch = "aarch64")]
mod control {
    use core::arch::asm;

    pub(super) type Word = u64;
    pub(super) const CAN_FLUSH: bool = true;
    const MODES: u64 = 0x3c8_9f07;
    const FLUSH: u64 = 1 << 24;

    #[inline(always)]
    pub(super) fn read() -> u64 {
        let word;
        // SAFETY: reads a register that every program may read. It is not `pure`, so that it stays in its place.
        unsafe { asm!("mrs {}, fpcr", out(reg) word, options(nostack, preserves_flags)) };
        word
    }

    #[inline(always)]
    pub(super) fn write(word: u64) {
        // SAFETY: `word` is a value that FPCR had, with other modes. The module says why other modes are sound.
        unsafe { asm!("msr fpcr, {}", in(reg) word, options(nostack, preserves_flags)) };
    }

    #[inline(always)]
    pub(super) fn wanted(before: u64, flush: bool) -> u64 {
        before & !MODES | if flush { FLUSH } else { 0 }
    }
}

/// Machines whose environment cannot be set: WebAssembly has one alone, which is the default.
#[cfg(not(any(
    all(any(target_arch = "x86_64", target_arch = "x86"), target_feature = "sse"),
    target_arch = "aarch64"
)))]
mod control {
    pub(super) type Word = ();
    pub(super) const CAN_FLUSH: bool = false;

    pub(super) fn read() {}

    pub(super) fn write((): ()) {}

    pub(super) fn wanted((): (), _: bool) {}
}
