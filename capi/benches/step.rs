//! The fixed cost of a step: nanoseconds of a step inside of a long call, by Rust's `Layer::step`, and by C's `rnnpack_step`.
//!
//! `cargo bench -p rnnpack-capi --bench step`. The three take turns, and the fastest turn of each counts. The arguments of the
//! test harness are ignored, except `--test`: one short turn, whose results are compared.

use rnnpack::{Layer, LayerWeights, Scratch, Sequence, State};
use rnnpack_capi::*;
use std::hint::black_box;
use std::ptr::null_mut;
use std::time::Instant;

/// Input and hidden sizes, and batch rows.
const SIZES: [[usize; 3]; 4] = [[1, 8, 1], [1, 16, 1], [16, 32, 1], [1, 8, 8]];
/// The steps of a turn.
const STEPS: usize = 1000;

/// The same stream for Rust and for C.
struct Sides {
    layer: Layer,
    state: State,
    scratch: Scratch,
    c_layer: *mut LayerHandle,
    c_state: *mut StateHandle,
    c_scratch: *mut ScratchHandle,
    x: Vec<f32>,
    y: Vec<f32>,
    one: Vec<f32>,
}

fn ok(status: Status) {
    assert_eq!(status, RNNPACK_OK);
}

impl Sides {
    fn new([input, hidden, batch]: [usize; 3]) -> Sides {
        let numbers = |count: usize| (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 250.0).collect();
        let (w, r): (Vec<f32>, Vec<f32>) = (numbers(4 * hidden * input), numbers(4 * hidden * hidden));
        let layer = LayerWeights::lstm(input, hidden).w(&w).r(&r).pack().unwrap();
        // SAFETY: zeros are values of all members.
        let zeros: LayerDesc = unsafe { std::mem::zeroed() };
        let desc = LayerDesc {
            size: size_of::<LayerDesc>(),
            input,
            hidden,
            w: w.as_ptr(),
            w_count: w.len(),
            r: r.as_ptr(),
            r_count: r.len(),
            ..zeros
        };
        let (mut c_layer, mut c_state, mut c_scratch) = (null_mut(), null_mut(), null_mut());
        // SAFETY: the pointers are valid.
        unsafe {
            ok(rnnpack_layer_new(&desc, &mut c_layer));
            ok(rnnpack_state_new(c_layer, batch, &mut c_state));
            ok(rnnpack_scratch_new(&mut c_scratch));
        }
        let (state, scratch) = (layer.new_state(batch).unwrap(), Scratch::new());
        let (x, y) = (numbers(STEPS * batch * input), vec![0.0; STEPS * batch * hidden]);
        Sides { layer, state, scratch, c_layer, c_state, c_scratch, x, one: vec![0.0; batch * hidden], y }
    }

    fn reset(&mut self) {
        self.state.reset();
        // SAFETY: the handle is valid.
        ok(unsafe { rnnpack_state_reset(self.c_state) });
    }

    fn whole_call(&mut self) {
        let sequence = Sequence::dense(&self.x, &mut self.y);
        self.layer.forward(sequence, &mut self.state, &mut self.scratch).unwrap();
    }

    fn by_rust(&mut self) {
        for x in self.x.chunks(self.x.len() / STEPS) {
            self.layer.step(black_box(x), &mut self.state, &mut self.one, &mut self.scratch).unwrap();
        }
    }

    fn by_c(&mut self) {
        let count = self.one.len();
        for x in self.x.chunks(self.x.len() / STEPS) {
            let (x, x_count, y) = (black_box(x).as_ptr(), x.len(), self.one.as_mut_ptr());
            // SAFETY: the handles are valid, and the buffers have as many elements as their counts say.
            ok(unsafe { rnnpack_step(self.c_layer, self.c_state, self.c_scratch, x, x_count, y, count) });
        }
    }
}

impl Drop for Sides {
    fn drop(&mut self) {
        // SAFETY: the handles are valid and are not used again.
        unsafe {
            ok(rnnpack_scratch_free(self.c_scratch));
            ok(rnnpack_state_free(self.c_state));
            ok(rnnpack_layer_free(self.c_layer));
        }
    }
}

fn main() {
    let turns = if std::env::args().any(|argument| argument == "--test") { 1 } else { 3000 };
    println!("nanoseconds of a step of an LSTM{:>10}{:>10}{:>10}", "in a call", "Rust", "C");
    for sizes in SIZES {
        let mut sides = Sides::new(sizes);
        let mut fastest = [f64::INFINITY; 3];
        for _ in 0..turns {
            let mut last = Vec::new();
            for (fastest, run) in fastest.iter_mut().zip([Sides::whole_call, Sides::by_rust, Sides::by_c]) {
                sides.reset();
                sides.one.fill(0.0);
                let start = Instant::now();
                run(&mut sides);
                *fastest = fastest.min(start.elapsed().as_nanos() as f64 / STEPS as f64);
                last.push(sides.one.clone());
            }
            let tail = &sides.y[sides.y.len() - sides.one.len()..];
            assert!(last[1] == tail && last[2] == tail, "the three disagree");
        }
        let [input, hidden, batch] = sizes;
        let [call, rust, c] = fastest;
        println!("I = {input:2}, H = {hidden:2}, B = {batch}{:>24.1}{rust:>10.1}{c:>10.1}", call);
    }
}
