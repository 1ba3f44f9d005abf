//! The instructions of AMX for CPUs that lack them: a handler of the signal that such a CPU raises.
//!
//! It follows the operations in Intel's Software Developer's Manual, volume 2 (LDTILECFG, TILELOADD, TILESTORED, TILEZERO,
//! TDPBUSD, TDPBF16PS, TILERELEASE), and ends the process if one of them would raise an exception. So the tests run the
//! machine code that a CPU with AMX runs.

use std::cell::RefCell;
use std::sync::Once;

/// The tile registers of a thread.
struct Tiles {
    /// The bytes of a row and the rows of each tile; all 0 if nothing is configured.
    shapes: [(usize, usize); 8],
    data: [[[u8; 64]; 16]; 8],
    /// The number of instructions so far.
    count: usize,
}

thread_local! {
    static TILES: RefCell<Tiles> =
        const { RefCell::new(Tiles { shapes: [(0, 0); 8], data: [[[0; 64]; 16]; 8], count: 0 }) };
}

/// The number of instructions that this thread has emulated, and whether its tiles are released.
pub(super) fn counts() -> (usize, bool) {
    TILES.with_borrow(|tiles| (tiles.count, tiles.shapes == [(0, 0); 8]))
}

/// Emulates the instructions from now on, in all threads of the process, if the CPU lacks them.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: the handler has the signature of SA_SIGINFO; sigaction reads the structure alone.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_illegal as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
            assert_eq!(libc::sigaction(libc::SIGILL, &action, std::ptr::null_mut()), 0);
        }
    });
}

fn refuse(why: &str) -> ! {
    eprintln!("AMX: {why}");
    std::process::abort()
}

extern "C" fn on_illegal(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes the context of the interrupted instruction.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let rip = registers[libc::REG_RIP as usize] as *const u8;
    // SAFETY: an instruction is at this address. None of AMX is longer than 11 bytes, and code follows it.
    let code: [u8; 11] = unsafe { rip.cast::<[u8; 11]>().read_unaligned() };
    let length = TILES.with_borrow_mut(|tiles| tiles.run(&code, registers));
    registers[libc::REG_RIP as usize] += length as i64;
}

/// The number of a register in an instruction, in the context's list.
const REGISTERS: [libc::c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// The operands of an instruction with the three-byte VEX prefix.
struct Decoded {
    /// The prefix that is part of the opcode: 0 none, 1 66, 2 F3, 3 F2.
    pp: u8,
    opcode: u8,
    /// The first register field, or the instruction's extension.
    reg: usize,
    /// The register in the last field, if it is one.
    rm: Option<usize>,
    vvvv: usize,
    /// The address without an index, and the value of the index register.
    base: i64,
    index: i64,
    length: usize,
}

fn decode(code: &[u8; 11], registers: &[libc::greg_t; 23]) -> Decoded {
    let [0xc4, first, second, opcode, modrm, ..] = *code else { refuse("not an instruction of AMX") };
    if first & 0x1f != 2 || second & 0x84 != 0 {
        refuse("not an instruction of AMX");
    }
    let of = |number: usize| registers[REGISTERS[number] as usize];
    // R, X and B are stored inverted.
    let high = |bit: u8| usize::from(first >> bit & 1 == 0) * 8;
    let (mode, reg, rm) = (modrm >> 6, usize::from(modrm >> 3 & 7) + high(7), usize::from(modrm & 7));
    let (pp, vvvv) = (second & 3, usize::from(!second >> 3 & 15));
    let mut decoded = Decoded { pp, opcode, reg, rm: None, vvvv, base: 0, index: 0, length: 5 };
    if mode == 3 {
        decoded.rm = Some(rm);
        return decoded;
    }
    let mut base = rm;
    if rm == 4 {
        let sib = code[5];
        decoded.length = 6;
        base = usize::from(sib & 7);
        let index = usize::from(sib >> 3 & 7) + high(6);
        decoded.index = if index == 4 { 0 } else { of(index) << (sib >> 6) };
    }
    if mode == 0 && base == 5 {
        refuse("an address without a base");
    }
    let at = decoded.length;
    let displacement = match mode {
        0 => 0,
        1 => i64::from(code[at] as i8),
        _ => i64::from(i32::from_le_bytes([code[at], code[at + 1], code[at + 2], code[at + 3]])),
    };
    decoded.length += [0, 1, 4][usize::from(mode)];
    decoded.base = of(base + high(5)) + displacement;
    decoded
}

impl Tiles {
    /// Runs the instruction, and returns its length.
    fn run(&mut self, code: &[u8; 11], registers: &[libc::greg_t; 23]) -> usize {
        let Decoded { pp, opcode, reg, rm, vvvv, base, index, length } = decode(code, registers);
        self.count += 1;
        match (opcode, pp, rm) {
            (0x49, 0, None) => self.configure(base as *const u8),
            (0x49, 0, Some(0)) => self.shapes = [(0, 0); 8],
            (0x49, 3, Some(0)) => {
                self.shape(reg);
                self.data[reg] = [[0; 64]; 16];
            }
            (0x4b, 3, None) => self.move_rows(reg, base, index, true),
            (0x4b, 2, None) => self.move_rows(reg, base, index, false),
            (0x5e, 1, Some(a)) => self.products(reg, a, vvvv, bytes),
            (0x5c, 2, Some(a)) => self.products(reg, a, vvvv, pairs),
            _ => refuse("an instruction that the kernels do not use"),
        }
        length
    }

    fn configure(&mut self, from: *const u8) {
        // SAFETY: the instruction reads 64 bytes.
        let config: [u8; 64] = unsafe { from.cast::<[u8; 64]>().read_unaligned() };
        if config[0] != 1 || config[1..16].iter().chain(&config[32..48]).any(|&byte| byte != 0) {
            refuse("a palette, a start or reserved bytes");
        }
        for (i, shape) in self.shapes.iter_mut().enumerate() {
            *shape = (usize::from(config[16 + 2 * i]), usize::from(config[48 + i]));
            if shape.0 > 64 || shape.1 > 16 || (shape.0 == 0) != (shape.1 == 0) || config[17 + 2 * i] != 0 {
                refuse("a tile of this shape");
            }
        }
        self.data = [[[0; 64]; 16]; 8];
    }

    fn shape(&self, tile: usize) -> (usize, usize) {
        if self.shapes[tile] == (0, 0) {
            refuse("a tile that is not configured");
        }
        self.shapes[tile]
    }

    /// Reads the rows of a tile from memory, or writes them to it. The rest of a tile that is read becomes zeros.
    fn move_rows(&mut self, tile: usize, base: i64, stride: i64, reads: bool) {
        let (bytes, rows) = self.shape(tile);
        if reads {
            self.data[tile] = [[0; 64]; 16];
        }
        for (i, row) in self.data[tile][..rows].iter_mut().enumerate() {
            let place = (base + i as i64 * stride) as *mut u8;
            // SAFETY: the instruction reads or writes these bytes.
            unsafe {
                match reads {
                    true => place.copy_to(row.as_mut_ptr(), bytes),
                    false => place.copy_from(row.as_ptr(), bytes),
                }
            }
        }
    }

    /// Adds to every 4 bytes of `to` the products of a row of `a` with a column of `b`, 4 bytes at a time.
    fn products(&mut self, to: usize, a: usize, b: usize, add: Add) {
        let [(to_bytes, to_rows), (a_bytes, a_rows), (b_bytes, b_rows)] = [to, a, b].map(|t| self.shape(t));
        if to == a || a == b || to == b || to_rows != a_rows || to_bytes != b_bytes || a_bytes != 4 * b_rows {
            refuse("tiles that do not fit");
        }
        let four = |row: &[u8; 64], i: usize| [row[4 * i], row[4 * i + 1], row[4 * i + 2], row[4 * i + 3]];
        for m in 0..to_rows {
            for n in 0..to_bytes / 4 {
                // Rows beyond the tile are zeros, which add nothing.
                let factors =
                    std::array::from_fn(|k| if k < b_rows { four(&self.data[a][m], k) } else { [0; 4] });
                let column =
                    std::array::from_fn(|k| if k < b_rows { four(&self.data[b][k], n) } else { [0; 4] });
                let sum = add(four(&self.data[to][m], n), &factors, &column);
                self.data[to][m][4 * n..][..4].copy_from_slice(&sum);
            }
        }
    }
}

/// A row of factors, or a column of weights, in groups of 4 bytes.
type Line = [[u8; 4]; 16];
/// Adds the products of a row and a column to a sum.
type Add = fn([u8; 4], &Line, &Line) -> [u8; 4];

/// TDPBUSD: bytes without a sign with bytes with one, modulo 2^32.
fn bytes(sum: [u8; 4], a: &Line, b: &Line) -> [u8; 4] {
    let mut sum = i32::from_le_bytes(sum);
    for (a, b) in a.iter().zip(b).flat_map(|(a, b)| a.iter().zip(b)) {
        sum = sum.wrapping_add(i32::from(*a) * i32::from(*b as i8));
    }
    sum.to_le_bytes()
}

/// TDPBF16PS: the first and the second of all pairs in two chains from zero, whose sum is added to the tile's. Subnormal
/// numbers count as zero, and become zero.
fn pairs(sum: [u8; 4], a: &Line, b: &Line) -> [u8; 4] {
    let flush = |x: f32| if x.is_subnormal() { 0f32.copysign(x) } else { x };
    let half = |pair: [u8; 4], i: usize| {
        flush(f32::from_bits(u32::from(u16::from_le_bytes([pair[2 * i], pair[2 * i + 1]])) << 16))
    };
    let mut chains = [0f32; 2];
    for (a, b) in a.iter().zip(b) {
        for (i, chain) in chains.iter_mut().enumerate() {
            *chain = flush(half(*a, i).mul_add(half(*b, i), *chain));
        }
    }
    flush(flush(f32::from_le_bytes(sum)) + flush(chains[0] + chains[1])).to_le_bytes()
}
