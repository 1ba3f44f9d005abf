//! Floating-point environments that a program may have when it calls a layer.

/// The control words of strange environments, with a name: rounding down, up and to zero, and flushed subnormals.
#[cfg(target_arch = "x86_64")]
pub const STRANGE: &[(&str, u64)] = &[
    ("rounds down", 0x1f80 | 1 << 13),
    ("rounds up", 0x1f80 | 2 << 13),
    ("rounds to zero and flushes", 0x1f80 | 3 << 13 | 0x8040),
    ("flushes", 0x1f80 | 0x8040),
];
/// As on x86-64.
#[cfg(target_arch = "aarch64")]
pub const STRANGE: &[(&str, u64)] = &[
    ("rounds down", 2 << 22),
    ("rounds up", 1 << 22),
    ("rounds to zero and flushes", 3 << 22 | 1 << 24),
    ("flushes", 1 << 24),
];
/// Other machines have the default environment alone.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub const STRANGE: &[(&str, u64)] = &[];

/// The control word of this thread, without the status flags.
#[cfg(target_arch = "x86_64")]
pub fn control_word() -> u64 {
    let mut word = 0u32;
    // SAFETY: it stores 4 bytes to `word`.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack, preserves_flags)) };
    u64::from(word & !0x3f)
}

/// Sets the control word of this thread.
#[cfg(target_arch = "x86_64")]
fn set_control_word(word: u64) {
    let word = word as u32;
    // SAFETY: it reads 4 bytes of `word`, which sets no reserved bit and masks all exceptions. Code that was not
    // compiled for another environment computes nothing until the default one is back.
    unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack, preserves_flags)) };
}

/// The control word of this thread.
#[cfg(target_arch = "aarch64")]
pub fn control_word() -> u64 {
    let word;
    // SAFETY: every program may read this register.
    unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) word, options(nostack, preserves_flags)) };
    word
}

/// Sets the control word of this thread.
#[cfg(target_arch = "aarch64")]
fn set_control_word(word: u64) {
    // SAFETY: the word enables no trap. Code that was not compiled for another environment computes nothing until the
    // default one is back.
    unsafe { std::arch::asm!("msr fpcr, {}", in(reg) word, options(nostack, preserves_flags)) };
}

/// The control word of this thread; there is none.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn control_word() -> u64 {
    0
}

/// Sets nothing.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn set_control_word(_: u64) {}

/// Calls `f` in an environment, and restores the thread's own. `f` should call the code under test and nothing else.
///
/// # Panics
/// If `f` leaves another environment than it was called in.
pub fn inside<R>(word: u64, f: impl FnOnce() -> R) -> R {
    let before = control_word();
    set_control_word(word);
    let result = f();
    let after = control_word();
    set_control_word(before);
    assert_eq!(after, word, "a call has changed its thread's floating-point environment");
    result
}
