//! The instructions of AMX, and whether they may be used.

use crate::tile::Heights;
use core::arch::asm;
use std::sync::OnceLock;

/// The rows of a tile.
pub(super) const ROWS: usize = 16;
/// Fewer rows are left to the instructions for vectors.
pub(super) const FEWEST: usize = 4;
/// The groups of k, of 4 bytes each, of a tile.
pub(super) const GROUPS: usize = 16;

/// Whether the CPU has tiles of int8 and of bf16, and the system lets this process use them.
pub(super) fn found() -> [bool; 2] {
    static FOUND: OnceLock<[bool; 2]> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let features = raw_cpuid_7();
        let has = |bit: u32| features >> bit & 1 == 1;
        // Tiles, int8, bf16.
        if !has(24) || !(has(25) || has(22)) {
            return [false; 2];
        }
        const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
        const XFEATURE_XTILEDATA: libc::c_long = 18;
        // SAFETY: the call asks Linux for a permission, and changes no memory.
        let refused = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) };
        [refused == 0 && has(25), refused == 0 && has(22)]
    })
}

/// EDX of leaf 7 of CPUID; 0 if there is no such leaf.
pub(super) fn raw_cpuid_7() -> u32 {
    use core::arch::x86_64::{__cpuid, __cpuid_count};
    if __cpuid(0).eax < 7 { 0 } else { __cpuid_count(7, 0).edx }
}

/// The memory format of the configuration of tiles, palette 1.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    /// The bytes of a row of each tile.
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Configures the tiles for products of `rows` rows of `groups` groups, unless they are left to vectors. Returns whether it
/// did.
///
/// # Safety
/// The CPU must have AMX, and the system must have permitted it.
pub(super) unsafe fn configure(rows: usize, groups: usize) -> bool {
    let rows = Heights::new(rows, ROWS).of(0);
    if rows < FEWEST {
        return false;
    }
    let (rows, last) = (rows as u8, groups % GROUPS);
    let mut config =
        Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    config.row_bytes[..6].fill(64);
    config.rows[..6].copy_from_slice(&[rows, rows, rows, rows, rows, GROUPS as u8]);
    if last > 0 {
        config.row_bytes[6..8].copy_from_slice(&[4 * last as u16, 64]);
        config.rows[6..8].copy_from_slice(&[rows, last as u8]);
    }
    // SAFETY: the configuration is valid, and the caller promises AMX.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, preserves_flags, readonly)) }
    true
}

/// Releases the tiles.
///
/// # Safety
/// The CPU must have AMX.
pub(super) unsafe fn end() {
    // SAFETY: the caller's promise.
    unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) }
}

/// The sums of a tile: `[vector][row][lane]`, of 4 bytes each.
#[repr(align(64))]
pub(super) struct Sums(
    #[expect(dead_code, reason = "tiles are stored here by instructions")] [[[u8; 64]; ROWS]; 4],
);

/// One product of tiles, for these vectors: `Σ factors · weights` for every row, from zeros.
macro_rules! product {
    ($instruction:literal, $operands:expr, $to:expr, [$($n:literal),*]) => {{
        let TileOperands { a, row, b, width, groups } = $operands;
        asm!(
            $(concat!("tilezero tmm", $n),)*
            "test {blocks}, {blocks}",
            "jz 3f",
            "2:",
            "tileloadd tmm4, [{a} + {row}*1]",
            $(
                concat!("tileloadd tmm5, [{b} + {width}*1 + 64*", $n, "]"),
                concat!($instruction, " tmm", $n, ", tmm4, tmm5"),
            )*
            "add {a}, 64",
            "add {b}, {block}",
            "dec {blocks}",
            "jnz 2b",
            "3:",
            "test {last}, {last}",
            "jz 4f",
            "tileloadd tmm6, [{a} + {row}*1]",
            $(
                concat!("tileloadd tmm7, [{b} + {width}*1 + 64*", $n, "]"),
                concat!($instruction, " tmm", $n, ", tmm6, tmm7"),
            )*
            "4:",
            $(concat!("tilestored [{to} + {line}*1 + 1024*", $n, "], tmm", $n),)*
            a = inout(reg) a => _,
            b = inout(reg) b => _,
            blocks = inout(reg) groups / GROUPS => _,
            last = in(reg) groups % GROUPS,
            row = in(reg) row,
            width = in(reg) width,
            block = in(reg) GROUPS * width,
            to = in(reg) $to,
            line = in(reg) 64usize,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    }};
}

/// The operands of a product of tiles.
pub(super) struct TileOperands {
    /// The first row of factors, and the bytes from one row to the next.
    pub(super) a: *const u8,
    pub(super) row: usize,
    /// A panel, and the bytes of a group in it.
    pub(super) b: *const u8,
    pub(super) width: usize,
    pub(super) groups: usize,
}

/// Computes the sums of a panel for the rows that the tiles are configured for: of int8, or else of pairs of bf16.
///
/// # Safety
/// The tiles must be configured for `groups`. The rows must be valid for reading `groups` groups of 4 bytes, and the panel
/// for as many groups of `width` bytes. `to` must be valid for writing. N, 3 or 4, must be the vectors of the panel.
pub(super) unsafe fn multiply<const N: usize>(int8: bool, operands: TileOperands, to: *mut Sums) {
    // SAFETY: the caller's promise; there is room for 4 tiles of 16 rows of 64 bytes.
    unsafe {
        match (N, int8) {
            (3, true) => product!("tdpbusd", operands, to, [0, 1, 2]),
            (_, true) => product!("tdpbusd", operands, to, [0, 1, 2, 3]),
            (3, false) => product!("tdpbf16ps", operands, to, [0, 1, 2]),
            (_, false) => product!("tdpbf16ps", operands, to, [0, 1, 2, 3]),
        }
    }
}
