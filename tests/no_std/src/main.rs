//! A program without the standard library that runs a packed layer, like a program for a small device.
//!
//! `tests/no_std.rs` packs the layer and builds this program around its bytes for several instruction sets. Then it
//! compares the bits that the program prints. If `std` were linked, there would be two panic handlers and the build
//! would fail.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::fmt::Write;
use core::panic::PanicInfo;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};
use rnnpack_kernels::blocking::Blocking;
use rnnpack_kernels::bytes::{Aligned, from_static};
use rnnpack_kernels::{Activation, Call, Dims, PackedWeights, Scratch, View, forward};

/// The packed layer, in the read-only part of the program.
static LAYER: &Aligned<[u8]> = &Aligned(*include_bytes!(env!("RNNPACK_PACKED_LAYER")));
const STEPS: usize = 10;

const ARENA: usize = 16 << 10;

/// An allocator that gives out its memory from front to back, and never takes it back.
#[repr(align(64))]
struct Arena {
    memory: core::cell::UnsafeCell<[u8; ARENA]>,
    used: AtomicUsize,
}

// SAFETY: every byte is given out at most once.
unsafe impl Sync for Arena {}

#[global_allocator]
static MEMORY: Arena = Arena { memory: core::cell::UnsafeCell::new([0; ARENA]), used: AtomicUsize::new(0) };

// SAFETY: each piece lies in the arena, on the requested boundary, and after every earlier piece.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let place = |used: usize| {
            Some(used.next_multiple_of(layout.align()) + layout.size()).filter(|&end| end <= ARENA)
        };
        // The arena itself is on a boundary of 64 bytes.
        match (layout.align() <= 64)
            .then(|| self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, place))
        {
            Some(Ok(used)) => {
                self.memory.get().cast::<u8>().wrapping_add(used.next_multiple_of(layout.align()))
            }
            _ => null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[link(name = "c")]
unsafe extern "C" {
    fn write(file: i32, from: *const u8, count: usize) -> isize;
    fn exit(code: i32) -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: the call ends the process.
    unsafe { exit(101) }
}

struct Out;

impl Write for Out {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        // SAFETY: the string has that many bytes.
        let written = unsafe { write(1, s.as_ptr(), s.len()) };
        if written == s.len() as isize { Ok(()) } else { Err(core::fmt::Error) }
    }
}

/// Runs each direction of the layer on its own, one call for each step, and prints the bits of the last hidden state. Then
/// it prints the bits of an activation.
fn run() -> Result<(), rnnpack_kernels::Error> {
    let (_, directions) = from_static(&LAYER.0)?;
    let mut scratch = Scratch::new();
    for packed in &directions {
        for h in last_hidden_state(packed, &mut scratch)? {
            let _ = writeln!(Out, "{:08x}", h.to_bits());
        }
    }
    // On one lane, whose multiply-adds are those of the crate `libm` here.
    for i in 0..STEPS {
        let _ = writeln!(Out, "{:08x}", Activation::Tanh.eval(i as f32 / 7.0 - 0.7).to_bits());
    }
    Ok(())
}

fn last_hidden_state(
    packed: &PackedWeights,
    scratch: &mut Scratch,
) -> Result<Vec<f32>, rnnpack_kernels::Error> {
    let (input, hidden) = (packed.input(), packed.hidden());
    let cells = if packed.cell().has_cell_state() { hidden } else { 0 };
    let (mut h, mut c, mut x) = (vec![0.0; hidden], vec![0.0; cells], vec![0.0; input]);
    let blocking = Blocking { rows: 1, steps: 1 };
    let dims = Dims { time: 1, directions: 1, batch: 1, width: input };
    for step in 0..STEPS {
        x.iter_mut().enumerate().for_each(|(i, x)| *x = ((step * input + i) % 7) as f32 / 4.0 - 0.75);
        let x = View::new(&x, dims, rnnpack_kernels::Layout::TimeMajor)?;
        forward(
            packed,
            Call { x, y: None, lens: None, reverse: false, h: &mut h, c: &mut c, blocking, stop: None },
            scratch,
        )?;
    }
    Ok(h)
}

#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    match run() {
        Ok(()) => 0,
        Err(e) => {
            let _ = writeln!(Out, "{e}");
            1
        }
    }
}
