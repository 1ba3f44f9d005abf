//! Makes layers, states and calls through the C interface, and the same layers in the crate `rnnpack`.
#![allow(dead_code, reason = "every test file takes its part")]

use rnnpack::{
    Activation, Cell, Direction, GateOrder, GruCell, Layer, LayerTensors, LayerWeights, LstmCell, RnnCell,
    Shape,
};
use rnnpack_capi::*;
use std::ffi::{CStr, CString, c_char};
use std::ptr::{null, null_mut};

/// Calls a function of the interface.
macro_rules! c {
    ($function:ident($($argument:expr),* $(,)?)) => {
        // SAFETY: the arguments keep the contract at the top of the header.
        unsafe { rnnpack_capi::$function($($argument),*) }
    };
}
pub(crate) use c;

/// A structure of zeros with its size, as C programs start from.
pub(crate) fn zeroed<T: Structure>() -> T {
    // SAFETY: zeros are values of all members of the interface's structures.
    let mut structure: T = unsafe { std::mem::zeroed() };
    *structure.size() = size_of::<T>();
    structure
}

pub(crate) trait Structure {
    fn size(&mut self) -> &mut usize;
}

macro_rules! structures {
    ($($name:ident),*) => { $(
        impl Structure for $name {
            fn size(&mut self) -> &mut usize {
                &mut self.size
            }
        }
    )* };
}
structures!(PackDesc, LayerDesc, LayerInfo, NodeInfo, ForwardDesc);

pub(crate) fn message() -> String {
    // SAFETY: the message is a text that lasts until this thread's next failed call.
    unsafe { CStr::from_ptr(rnnpack_message()) }.to_str().expect("messages are UTF-8").to_owned()
}

/// Panics with the message if a call failed.
#[track_caller]
pub(crate) fn ok(status: Status) {
    assert_eq!(status, RNNPACK_OK, "{}", message());
}

/// Numbers without a pattern, within ±`scale`.
pub(crate) fn numbers(count: usize, scale: f32, seed: u64) -> Vec<f32> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| scale * next()).collect()
}

/// A layer that both interfaces can build.
pub(crate) struct Case {
    pub(crate) cells: Vec<Cell>,
    pub(crate) order: GateOrder,
    pub(crate) shape: Shape,
    w: Vec<f32>,
    r: Vec<f32>,
    b: Vec<f32>,
    p: Option<Vec<f32>>,
    names: Vec<CString>,
    pointers: Vec<*const c_char>,
    alpha: Vec<f32>,
    beta: Vec<f32>,
}

impl Case {
    pub(crate) fn new(
        cells: &[Cell],
        order: GateOrder,
        [input, hidden]: [usize; 2],
        direction: Direction,
    ) -> Case {
        let count = direction.count();
        let cells: Vec<Cell> = cells.iter().cycle().take(count).copied().collect();
        let rows = count * cells[0].gates() * hidden;
        let functions: Vec<Activation> = cells.iter().flat_map(|cell| cell.activations()).copied().collect();
        let names: Vec<CString> = functions.iter().map(|f| CString::new(f.name()).unwrap()).collect();
        Case {
            order,
            shape: Shape { input, hidden, direction },
            w: numbers(rows * input, 0.3, 1),
            r: numbers(rows * hidden, 0.3, 2),
            b: numbers(2 * rows, 0.3, 3),
            p: cells[0].has_cell_state().then(|| numbers(count * 3 * hidden, 0.3, 4)),
            pointers: names.iter().map(|name| name.as_ptr()).collect(),
            names,
            alpha: functions.iter().filter_map(|f| f.parameters().0).collect(),
            beta: functions.iter().filter_map(|f| f.parameters().1).collect(),
            cells,
        }
    }

    /// The smallest layer: a forward LSTM.
    pub(crate) fn lstm(input: usize, hidden: usize) -> Case {
        Case::new(&[Cell::lstm()], GateOrder::Onnx, [input, hidden], Direction::Forward)
    }

    pub(crate) fn desc(&self) -> LayerDesc {
        let Shape { input, hidden, direction } = self.shape;
        let clip = self.cells[0].clip();
        let mut desc = LayerDesc {
            direction: direction as i32,
            gate_order: self.order as i32,
            has_clip: i32::from(clip.is_some()),
            clip: clip.unwrap_or_default(),
            input,
            hidden,
            w: self.w.as_ptr(),
            w_count: self.w.len(),
            r: self.r.as_ptr(),
            r_count: self.r.len(),
            b: self.b.as_ptr(),
            b_count: self.b.len(),
            p: self.p.as_ref().map_or(null(), |p| p.as_ptr()),
            p_count: self.p.as_ref().map_or(0, Vec::len),
            activations: self.pointers.as_ptr(),
            activation_count: self.names.len(),
            activation_alpha: self.alpha.as_ptr(),
            activation_alpha_count: self.alpha.len(),
            activation_beta: self.beta.as_ptr(),
            activation_beta_count: self.beta.len(),
            ..zeroed()
        };
        match self.cells[0] {
            Cell::Lstm(cell) => (desc.op, desc.input_forget) = (RNNPACK_LSTM, cell.input_forget.into()),
            Cell::Gru(cell) => {
                (desc.op, desc.linear_before_reset) = (RNNPACK_GRU, cell.linear_before_reset.into())
            }
            Cell::Rnn(_) => desc.op = RNNPACK_RNN,
        }
        desc
    }

    /// The layer of the crate `rnnpack`.
    pub(crate) fn expected(&self) -> Layer {
        self.expected_as(|weights| weights)
    }

    /// The layer of the crate `rnnpack`, after `change` of its weights.
    pub(crate) fn expected_as<'a>(
        &'a self,
        change: impl FnOnce(LayerWeights<'a>) -> LayerWeights<'a>,
    ) -> Layer {
        let Case { w, r, b, p, .. } = self;
        let tensors = LayerTensors { w, r, b: Some(b), p: p.as_deref() };
        let weights = LayerWeights::per_direction(&self.cells, self.shape, self.order, tensors).unwrap();
        Layer::new(&change(weights)).unwrap()
    }
}

/// Cells that cover every attribute.
pub(crate) fn cells() -> Vec<Cell> {
    use Activation::*;
    let hard = HardSigmoid { alpha: 0.3, beta: 0.4 };
    let lstm = [hard, LeakyRelu { alpha: 0.2 }, ScaledTanh { alpha: 1.5, beta: 0.5 }];
    vec![
        Cell::lstm(),
        Cell::Lstm(LstmCell { activations: lstm, clip: Some(0.8), input_forget: true }),
        Cell::gru(false),
        Cell::gru(true),
        Cell::Gru(GruCell { activations: [hard, Softsign], clip: Some(0.5), linear_before_reset: false }),
        Cell::rnn(Tanh),
        Cell::Rnn(RnnCell { activation: Affine { alpha: 0.5, beta: 0.1 }, clip: None }),
    ]
}

pub(crate) const DIRECTIONS: [Direction; 3] =
    [Direction::Forward, Direction::Reverse, Direction::Bidirectional];

/// A type for a handle that is freed when it is dropped.
macro_rules! owned {
    ($name:ident, $handle:ident, $free:ident) => {
        pub(crate) struct $name(pub(crate) *mut $handle);

        impl $name {
            pub(crate) fn get(&self) -> *mut $handle {
                self.0
            }
        }

        // SAFETY: the header allows handles of this type to move between threads.
        unsafe impl Send for $name {}
        // SAFETY: the header allows several threads to use a handle. States and scratches permit only one call at a time
        // themselves.
        unsafe impl Sync for $name {}

        impl Drop for $name {
            fn drop(&mut self) {
                ok(c!($free(self.0)));
            }
        }
    };
}
owned!(OwnedLayer, LayerHandle, rnnpack_layer_free);
owned!(OwnedState, StateHandle, rnnpack_state_free);
owned!(OwnedScratch, ScratchHandle, rnnpack_scratch_free);
owned!(OwnedOnnx, OnnxHandle, rnnpack_onnx_free);

pub(crate) fn layer(desc: &LayerDesc) -> OwnedLayer {
    let mut layer = null_mut();
    ok(c!(rnnpack_layer_new(desc, &mut layer)));
    OwnedLayer(layer)
}

pub(crate) fn state(layer: &OwnedLayer, batch: usize) -> OwnedState {
    let mut state = null_mut();
    ok(c!(rnnpack_state_new(layer.get(), batch, &mut state)));
    OwnedState(state)
}

pub(crate) fn scratch() -> OwnedScratch {
    let mut scratch = null_mut();
    ok(c!(rnnpack_scratch_new(&mut scratch)));
    OwnedScratch(scratch)
}

pub(crate) fn info(layer: &OwnedLayer) -> LayerInfo {
    let mut info: LayerInfo = zeroed();
    ok(c!(rnnpack_layer_get_info(layer.get(), &mut info)));
    info
}

/// Memory on a 64-byte boundary.
#[repr(align(64))]
pub(crate) struct Aligned(pub(crate) [u8; 1 << 16]);

/// The packed bytes of a small layer, at the start.
pub(crate) fn packed(layer: &OwnedLayer) -> Aligned {
    let (mut bytes, count) = (Aligned([0; 1 << 16]), info(layer).bytes_count);
    assert!(count > 0 && count < bytes.0.len());
    ok(c!(rnnpack_layer_to_bytes(layer.get(), bytes.0.as_mut_ptr().cast(), count)));
    bytes
}

/// A stack of layers.
pub(crate) fn stack(layers: &[&OwnedLayer]) -> OwnedLayer {
    let layers: Vec<_> = layers.iter().map(|layer| layer.get().cast_const()).collect();
    let mut stack = null_mut();
    ok(c!(rnnpack_stack_new(layers.as_ptr(), layers.len(), &mut stack)));
    OwnedLayer(stack)
}

pub(crate) fn onnx(bytes: &[u8]) -> OwnedOnnx {
    let mut onnx = null_mut();
    ok(c!(rnnpack_onnx_parse(bytes.as_ptr().cast(), bytes.len(), &mut onnx)));
    OwnedOnnx(onnx)
}

/// Reads h and c of a state, each with `count` elements; c only if the cell has a cell state.
pub(crate) fn read(state: &OwnedState, count: usize, has_c: bool) -> [Vec<f32>; 2] {
    let (mut h, mut c) = (vec![0.0; count], vec![0.0; if has_c { count } else { 0 }]);
    let at = if has_c { c.as_mut_ptr() } else { null_mut() };
    ok(c!(rnnpack_state_read(state.get(), h.as_mut_ptr(), h.len(), at, c.len())));
    [h, c]
}

/// The bits of numbers.
pub(crate) fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

/// The contents of a file of this repository.
pub(crate) fn file(path: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
