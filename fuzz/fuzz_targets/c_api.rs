//! Fuzzes the C interface with random calls.
//!
//! Sizes, counts, constants and contents are random, and pointers may be NULL or misaligned, but all other memory
//! exists. Every call must return a status. A failed call must set a message, and must not return a handle or write
//! an output.
#![no_main]

#[path = "c_api/draw.rs"]
mod draw;

use draw::{Buffer, Draw};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use rnnpack_capi::*;
use std::ffi::{CStr, CString, c_char};
use std::ptr::{null, null_mut};

/// AddressSanitizer's options: a size beyond all memory must reach the library, which refuses it as with the system's
/// allocator.
#[unsafe(no_mangle)]
extern "C" fn __asan_default_options() -> *const c_char {
    c"allocator_may_return_null=1".as_ptr()
}

/// Checks the promises of every call. Returns whether the call succeeded.
fn check(status: Status) -> bool {
    assert!((RNNPACK_OK..RNNPACK_INTERNAL).contains(&status) && status != RNNPACK_BUSY, "status {status}");
    // SAFETY: the message is a text that lasts until the next failed call.
    let message = unsafe { CStr::from_ptr(rnnpack_message()) };
    assert!(status == RNNPACK_OK || !message.to_str().unwrap().is_empty());
    status == RNNPACK_OK
}

/// A structure of zeros except for its size, which is sometimes wrong.
fn structure<T>(u: &mut Unstructured<'_>, size: fn(&mut T) -> &mut usize) -> Result<T> {
    // SAFETY: zeros are values of all members of the interface's structures.
    let mut structure: T = unsafe { std::mem::zeroed() };
    *size(&mut structure) = if u.rarely()? { u.int_in_range(0..=300)? } else { size_of::<T>() };
    Ok(structure)
}

/// Half of the time a description of how a layer is packed, with the text that it points to.
fn packing(u: &mut Unstructured<'_>) -> Result<(Option<CString>, Option<PackDesc>)> {
    let isa = if u.rarely()? { Some(u.text()?) } else { None };
    let mut pack = structure(u, |pack: &mut PackDesc| &mut pack.size)?;
    pack.isa = isa.as_ref().map_or(null(), |isa| isa.as_ptr());
    (pack.subnormals, pack.weight_type) = (u.constant(3)?, u.constant(6)?);
    Ok((isa, u.ratio(1, 2)?.then_some(pack)))
}

/// The ONNX files to start from. The target `onnx_import` covers arbitrary files.
const FILES: [&[u8]; 5] = [
    include_bytes!("../seeds/onnx_import/lstm_stored.onnx"),
    include_bytes!("../seeds/onnx_import/gru_linear_bf16.onnx"),
    include_bytes!("../seeds/onnx_import/rnn_relu_layout1.onnx"),
    include_bytes!("../seeds/onnx_import/lstm_coupled_peepholes_f64.onnx"),
    include_bytes!("../seeds/onnx_import/dynamic_quantize_lstm.onnx"),
];

/// The handles that exist.
#[derive(Default)]
struct Handles {
    layers: Vec<(*mut LayerHandle, LayerInfo)>,
    states: Vec<(*mut StateHandle, usize)>,
    files: Vec<*mut OnnxHandle>,
    scratches: Vec<*mut ScratchHandle>,
}

impl Handles {
    fn any_layer(&self, u: &mut Unstructured<'_>) -> Result<(*mut LayerHandle, LayerInfo)> {
        // SAFETY: zeros are a value of `LayerInfo`.
        let none = (null_mut(), unsafe { std::mem::zeroed() });
        if u.rarely()? || self.layers.is_empty() { Ok(none) } else { u.choose(&self.layers).copied() }
    }

    fn any_state(&self, u: &mut Unstructured<'_>) -> Result<(*mut StateHandle, usize)> {
        if u.rarely()? || self.states.is_empty() {
            return Ok((null_mut(), 1));
        }
        u.choose(&self.states).copied()
    }

    /// A scratch, which is made if there is none.
    fn any_scratch(&mut self, u: &mut Unstructured<'_>) -> Result<*mut ScratchHandle> {
        if u.rarely()? {
            return Ok(null_mut());
        }
        if self.scratches.is_empty() {
            let mut scratch = null_mut();
            // SAFETY: the pointer is valid.
            assert!(check(unsafe { rnnpack_scratch_new(&mut scratch) }));
            self.scratches.push(scratch);
        }
        u.choose(&self.scratches).copied()
    }

    /// Puts layers on top of each other, fitting or not.
    fn new_stack(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let mut layers = Vec::new();
        for _ in 0..u.int_in_range(0..=3)? {
            layers.push(self.any_layer(u)?.0.cast_const());
        }
        let mut stack = null_mut();
        // SAFETY: the handles are valid or NULL.
        let worked = check(unsafe { rnnpack_stack_new(layers.as_ptr(), layers.len(), &mut stack) });
        self.keep(worked, stack);
        Ok(())
    }

    /// Keeps a layer that a call returned.
    fn keep(&mut self, worked: bool, layer: *mut LayerHandle) {
        assert_eq!(worked, !layer.is_null());
        if worked {
            // SAFETY: zeros are a value of `LayerInfo`.
            let mut info: LayerInfo = unsafe { std::mem::zeroed() };
            info.size = size_of::<LayerInfo>();
            // SAFETY: the pointers are valid.
            assert!(check(unsafe { rnnpack_layer_get_info(layer, &mut info) }));
            assert!(
                info.packed_bytes > 0
                    && info.hidden > 0
                    && info.layers > 0
                    && info.h_per_row >= info.c_per_row
            );
            self.layers.push((layer, info));
        }
    }

    fn new_layer(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let mut desc = structure(u, |desc: &mut LayerDesc| &mut desc.size)?;
        (desc.op, desc.direction, desc.gate_order) = (u.constant(3)?, u.constant(3)?, u.constant(2)?);
        (desc.has_clip, desc.clip) = (u.flag()?, if u.rarely()? { u.arbitrary()? } else { 1.5 });
        (desc.input_forget, desc.linear_before_reset) = (u.flag()?, u.flag()?);
        (desc.input, desc.hidden) = (u.extent(12)?, u.extent(20)?);
        let gates = [4, 3, 1].get(desc.op as usize).copied().unwrap_or(2usize);
        let d = if desc.direction == RNNPACK_BIDIRECTIONAL { 2 } else { 1 };
        let product = |factors: &[usize]| factors.iter().fold(1, |a: usize, &b| a.wrapping_mul(b));
        let mut w = u.numbers(product(&[d, gates, desc.hidden, desc.input]), 1)?;
        let mut r = u.numbers(product(&[d, gates, desc.hidden, desc.hidden]), 1)?;
        let mut b = u.numbers(product(&[d, 2, gates, desc.hidden]), 3)?;
        let of_p = if gates == 4 { product(&[d, 3, desc.hidden]) } else { 0 };
        let mut p = u.numbers(of_p, 9)?;
        let [mut alpha, mut beta] = [u.numbers(0, 9)?, u.numbers(0, 9)?];
        (desc.w, desc.w_count) = w.lend();
        (desc.r, desc.r_count) = r.lend();
        (desc.b, desc.b_count) = b.lend();
        (desc.p, desc.p_count) = p.lend();
        (desc.activation_alpha, desc.activation_alpha_count) = alpha.lend();
        (desc.activation_beta, desc.activation_beta_count) = beta.lend();
        let names = u.names(d * [3, 2, 1].get(desc.op as usize).copied().unwrap_or(1usize))?;
        let pointers: Vec<*const c_char> =
            names.iter().flatten().map(|name| name.as_ref().map_or(null(), |name| name.as_ptr())).collect();
        if names.is_some() {
            (desc.activations, desc.activation_count) = (pointers.as_ptr(), pointers.len());
        }
        let (_isa, pack) = packing(u)?;
        desc.pack = pack.as_ref().map_or(null(), |pack| pack);
        let mut layer = null_mut();
        // SAFETY: all memory exists, with as many elements as the counts say, except for counts beyond all memory.
        let worked = check(unsafe { rnnpack_layer_new(&desc, &mut layer) });
        self.keep(worked, layer);
        Ok(())
    }

    fn open(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let mut bytes = u.choose(&FILES)?.to_vec();
        for _ in 0..u.int_in_range(0..=7u8)?.saturating_sub(3) {
            let at = u.int_in_range(0..=bytes.len() - 1)?;
            bytes[at] = u.arbitrary()?;
        }
        if u.rarely()? {
            bytes.truncate(u.int_in_range(0..=bytes.len())?);
        }
        let mut onnx = null_mut();
        // SAFETY: the bytes exist.
        let worked = check(unsafe { rnnpack_onnx_parse(bytes.as_ptr().cast(), bytes.len(), &mut onnx) });
        assert_eq!(worked, !onnx.is_null());
        if worked {
            self.files.push(onnx);
            let mut count = 0;
            // SAFETY: the pointers are valid.
            assert!(check(unsafe { rnnpack_onnx_count(onnx, &mut count) }));
            for index in 0..=count {
                self.node(u, onnx, index, count)?;
            }
        }
        Ok(())
    }

    fn node(
        &mut self,
        u: &mut Unstructured<'_>,
        onnx: *mut OnnxHandle,
        index: usize,
        count: usize,
    ) -> Result<()> {
        let mut info = structure(u, |info: &mut NodeInfo| &mut info.size)?;
        let sized = info.size == size_of::<NodeInfo>();
        // SAFETY: the pointers are valid.
        let known = check(unsafe { rnnpack_onnx_get_node(onnx, index, &mut info) });
        assert_eq!(known, sized && index < count);
        if known {
            let (mut layer, (_isa, pack)) = (null_mut(), packing(u)?);
            let at = pack.as_ref().map_or(null(), |pack| pack);
            // SAFETY: as above; the name lives as long as `onnx`.
            let worked = check(unsafe { rnnpack_onnx_layer(onnx, info.name, at, &mut layer) });
            assert!(info.refusal.is_null() || !worked);
            assert!(worked || !info.refusal.is_null() || pack.is_some());
            self.keep(worked, layer);
        }
        Ok(())
    }

    fn new_state(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let ((layer, _), batch, mut state) = (self.any_layer(u)?, u.extent(9)?, null_mut());
        // SAFETY: the handle is valid or NULL.
        let worked = check(unsafe { rnnpack_state_new(layer, batch, &mut state) });
        assert_eq!(worked, !state.is_null());
        if worked {
            self.states.push((state, batch));
        }
        Ok(())
    }

    fn use_state(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let ((_, info), (state, batch), (other, _)) =
            (self.any_layer(u)?, self.any_state(u)?, self.any_state(u)?);
        let (one_row, row) = (u.flag()? == 1, u.int_in_range(0..=batch)?);
        let rows = if one_row { 1 } else { batch };
        let count = |per_row: usize| rows.wrapping_mul(per_row);
        let (mut h, mut c) = (u.numbers(count(info.h_per_row), 3)?, u.numbers(count(info.c_per_row), 3)?);
        let (before, (at_h, h_count), (at_c, c_count)) = ([h.bits(), c.bits()], h.lend(), c.lend());
        // SAFETY: the handles are valid or NULL. The buffers have as many elements as their counts say, except for
        // counts beyond all memory.
        unsafe {
            let (to_h, to_c) = (at_h.cast_mut(), at_c.cast_mut());
            match (u.int_in_range(0..=3)?, one_row) {
                (0, false) => drop(check(rnnpack_state_reset(state))),
                (0, true) => drop(check(rnnpack_state_reset_row(state, row))),
                (1, _) => drop(check(rnnpack_state_copy(state, other))),
                (2, false) => drop(check(rnnpack_state_write(state, at_h, h_count, at_c, c_count))),
                (2, true) => drop(check(rnnpack_state_write_row(state, row, at_h, h_count, at_c, c_count))),
                _ => {
                    let worked = check(match one_row {
                        false => rnnpack_state_read(state, to_h, h_count, to_c, c_count),
                        true => rnnpack_state_read_row(state, row, to_h, h_count, to_c, c_count),
                    });
                    assert!(worked || before == [h.bits(), c.bits()], "a refused read wrote");
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let ((layer, info), (state, batch)) = (self.any_layer(u)?, self.any_state(u)?);
        let scratch = self.any_scratch(u)?;
        let mut x = u.numbers(batch.wrapping_mul(info.input), 1)?;
        let mut y = u.numbers(batch.wrapping_mul(info.directions.wrapping_mul(info.hidden)), 3)?;
        let (before, (at_x, x_count), (at_y, y_count)) = (y.bits(), x.lend(), y.lend());
        // SAFETY: as in `use_state`.
        let worked =
            check(unsafe { rnnpack_step(layer, state, scratch, at_x, x_count, at_y.cast_mut(), y_count) });
        assert!(worked || before == y.bits(), "a refused step wrote");
        Ok(())
    }

    fn forward(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let ((layer, info), (state, batch)) = (self.any_layer(u)?, self.any_state(u)?);
        let scratch = self.any_scratch(u)?;
        let mut desc = structure(u, |desc: &mut ForwardDesc| &mut desc.size)?;
        desc.batch = if u.rarely()? { u.extent(9)? } else { batch };
        let strided = u.ratio(1, 3)?;
        // Without inputs, or with a stride of 0, the number of steps is not bounded by memory. So it is kept small.
        desc.time = if info.input == 0 || strided { u.int_in_range(0..=7)? } else { u.extent(7)? };
        (desc.layout, desc.threads) = (u.constant(2)?, u.constant(2)?);
        let row_y = info.directions.wrapping_mul(info.hidden);
        let of = |row: usize| desc.time.wrapping_mul(desc.batch).wrapping_mul(row);
        let counts = [info.h_per_row, info.c_per_row].map(|per_row| desc.batch.wrapping_mul(per_row));
        let gap = if strided { u.int_in_range(0..=3)? } else { 0 };
        let mut x = u.numbers(of(info.input.wrapping_add(gap)), 1)?;
        let mut y = u.numbers(of(row_y.wrapping_add(gap)), 3)?;
        if strided {
            (desc.x_batch_stride, desc.y_batch_stride) =
                (u.stride(info.input + gap)?, u.stride(row_y + gap)?);
            desc.x_time_stride = u.stride(desc.batch.wrapping_mul(info.input + gap))?;
            desc.y_time_stride = u.stride(desc.batch.wrapping_mul(row_y + gap))?;
            desc.y_direction_stride = u.stride(info.hidden)?;
        }
        let mut lens = u.lens(desc.batch, desc.time)?;
        let mut initial = [u.numbers(counts[0], 2)?, u.numbers(counts[1], 2)?];
        let mut last = [u.numbers(counts[0], 2)?, u.numbers(counts[1], 2)?];
        let before = [y.bits(), last[0].bits(), last[1].bits()];
        (desc.x, desc.x_count) = x.lend();
        let (at_y, y_count) = y.lend();
        (desc.y, desc.y_count) = (at_y.cast_mut(), y_count);
        (desc.lens, desc.lens_count) = lens.lend();
        // One count holds for both buffers.
        let least = |at: usize| [&initial[at], &last[at]].into_iter().filter_map(Buffer::given).min();
        [desc.h_count, desc.c_count] = [0, 1].map(|at| least(at).unwrap_or(counts[at]));
        [desc.initial_h, desc.initial_c] = initial.each_mut().map(|part| part.lend().0);
        [desc.final_h, desc.final_c] = last.each_mut().map(|part| part.lend().0.cast_mut());
        if info.c_per_row == 0 && !u.rarely()? {
            (desc.initial_c, desc.final_c) = (null(), null_mut());
        }
        let stop = u.flag()?;
        desc.stop = if u.ratio(1, 4)? { &stop } else { null() };
        // SAFETY: as in `use_state`.
        let status = unsafe { rnnpack_forward(layer, state, scratch, &desc) };
        assert!(status != RNNPACK_STOPPED || !desc.stop.is_null() && stop != 0);
        // A stopped call may have written y.
        let worked = check(status) || status == RNNPACK_STOPPED;
        assert!(worked || before == [y.bits(), last[0].bits(), last[1].bits()], "a refused call wrote");
        Ok(())
    }

    fn free(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let at = |u: &mut Unstructured<'_>, len: usize| u.int_in_range(0..=len - 1);
        // SAFETY: the handles are valid and are not used again. NULL is allowed.
        unsafe {
            match u.int_in_range(0..=4)? {
                0 if !self.layers.is_empty() => {
                    let at = at(u, self.layers.len())?;
                    assert!(check(rnnpack_layer_free(self.layers.swap_remove(at).0)));
                }
                1 if !self.states.is_empty() => {
                    let at = at(u, self.states.len())?;
                    assert!(check(rnnpack_state_free(self.states.swap_remove(at).0)));
                }
                2 if !self.scratches.is_empty() => {
                    let at = at(u, self.scratches.len())?;
                    assert!(check(rnnpack_scratch_free(self.scratches.swap_remove(at))));
                }
                3 if !self.files.is_empty() => {
                    let at = at(u, self.files.len())?;
                    assert!(check(rnnpack_onnx_free(self.files.swap_remove(at))));
                }
                _ => assert!(check(rnnpack_layer_free(null_mut()))),
            }
        }
        Ok(())
    }

    /// Makes calls until the bytes are used up.
    fn calls(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        for _ in 0..40 {
            match u.int_in_range(0..=16)? {
                16 => self.new_stack(u)?,
                0..=1 => self.new_layer(u)?,
                2..=3 => self.new_state(u)?,
                4..=5 => self.use_state(u)?,
                6..=8 => self.step(u)?,
                9..=13 => self.forward(u)?,
                14 => self.free(u)?,
                _ => self.open(u)?,
            }
            if u.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        // SAFETY: the handles are valid and are not used again.
        unsafe {
            self.layers.iter().for_each(|layer| assert!(check(rnnpack_layer_free(layer.0))));
            self.states.iter().for_each(|state| assert!(check(rnnpack_state_free(state.0))));
            self.scratches.iter().for_each(|&scratch| assert!(check(rnnpack_scratch_free(scratch))));
            self.files.iter().for_each(|&file| assert!(check(rnnpack_onnx_free(file))));
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let u = &mut Unstructured::new(bytes);
    let mut handles = Handles::default();
    // The calls start with a layer and a state, so that most inputs reach deep code.
    let _ = handles.new_layer(u).and_then(|()| handles.new_state(u)).and_then(|()| handles.calls(u));
});
