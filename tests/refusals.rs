//! Tests the words of the refusals, and that a refusal writes nothing.

use rnnpack::{
    Activation, Cell, Dims, Direction, Error, GateOrder, GruCell, Layer, LayerTensors, LayerWeights, Layout,
    LstmCell, Planner, PyTorchTensors, RnnCell, Scratch, Sequence, Shape, Stack, StackScratch, State,
    Strides, Threads, Variant, View, ViewMut,
};
use rnnpack_dev::forms::forms;
use rnnpack_dev::{Case, Contents, SENTINEL};
use rnnpack_kernels::blocking::Blocking;
use rnnpack_kernels::{Call, PackedWeights, Tensors, Weights, forward};

const SHAPE: Shape = Shape { input: 3, hidden: 5, direction: Direction::Bidirectional };
const DIMS: Dims = Dims { time: 4, directions: 2, batch: 2, width: 5 };

fn words<T>(result: Result<T, impl std::fmt::Display>) -> String {
    result.err().expect("a refusal").to_string()
}

fn lstm<'a>(
    shape: Shape,
    w: &'a [f32],
    r: &'a [f32],
    b: Option<&'a [f32]>,
) -> Result<LayerWeights<'a>, Error> {
    LayerWeights::new(Cell::lstm(), shape, GateOrder::Onnx, LayerTensors { w, r, b, p: None })
}

fn case() -> Case {
    Case::new(Cell::lstm(), SHAPE, DIMS.time, DIMS.batch, 1)
}

fn contents() -> Contents {
    case().contents()
}

fn layer() -> Layer {
    Layer::new(&contents().weights()).unwrap()
}

fn x(dims: Dims) -> Vec<f32> {
    vec![1.0; dims.checked_len().unwrap()]
}

/// Makes a dense, time-major call that must be refused. Checks that nothing was written, and returns the words.
fn refused(x_dims: Dims, y_dims: Dims, lens: Option<&[i32]>, mut state: State) -> String {
    state.h_mut().fill(0.25);
    state.c_mut().fill(0.75);
    let before = state.clone();
    let x = x(x_dims);
    let mut y = vec![SENTINEL; y_dims.checked_len().unwrap()];
    let layer = layer();
    let mut results = [Threads::Caller, Threads::AtMost(2)].map(|threads| {
        let view = ViewMut::new(&mut y, y_dims, Layout::TimeMajor).unwrap();
        let sequence = Sequence::views(View::new(&x, x_dims, Layout::TimeMajor).unwrap(), Some(view));
        let sequence = sequence.optional_lens(lens).threads(threads);
        words(layer.forward(sequence, &mut state, &mut Scratch::new()))
    });
    let result = std::mem::take(&mut results[0]);
    assert_eq!(results[1], result, "several threads refuse in other words");
    assert!(y.iter().all(|y| y.to_bits() == SENTINEL.to_bits()), "Y was written");
    assert_eq!(state, before, "the state was written");
    result
}

fn state_for(cell: Cell, shape: Shape, batch: usize) -> State {
    let contents = Case::new(cell, shape, 1, 1, 0).contents();
    Layer::new(&contents.weights()).unwrap().new_state(batch).unwrap()
}

const X_DIMS: Dims = Dims { directions: 1, width: 3, ..DIMS };

#[test]
fn a_hidden_size_of_zero_is_refused() {
    let shape = Shape { hidden: 0, ..SHAPE };
    let words_of_onnx = words(lstm(shape, &[], &[], None));
    assert_eq!(words_of_onnx, "hidden_size must not be 0");
    let empty = PyTorchTensors { weight_ih: &[], weight_hh: &[], bias_ih: None, bias_hh: None };
    assert_eq!(words(LayerWeights::pytorch(Cell::lstm(), shape, &[empty; 2])), "hidden_size must not be 0");
}

#[test]
fn weights_of_wrong_lengths_are_refused_by_name() {
    let contents = contents();
    let (w, r, b) = (&contents.w[..], &contents.r[..], contents.b.as_deref().unwrap());
    let refused = |w, r, b| words(lstm(SHAPE, w, r, Some(b)));
    assert_eq!(refused(&w[1..], r, b), "W has 119 elements where [D, 4·H, I] = [2, 20, 3] calls for 120");
    assert_eq!(refused(w, &r[..100], b), "R has 100 elements where [D, 4·H, H] = [2, 20, 5] calls for 200");
    assert_eq!(refused(w, r, &b[..40]), "B has 40 elements where [D, 8·H] = [2, 40] calls for 80");
    assert_eq!(refused(w, r, &[]), "B has 0 elements where [D, 8·H] = [2, 40] calls for 80");
}

#[test]
fn weights_of_another_operator_are_refused() {
    let contents = contents();
    let refused = |cell| words(LayerWeights::new(cell, SHAPE, GateOrder::Onnx, contents.tensors()));
    assert_eq!(refused(Cell::gru(true)), "W has 120 elements where [D, 3·H, I] = [2, 15, 3] calls for 90");
    assert_eq!(
        refused(Cell::rnn(Activation::Tanh)),
        "W has 120 elements where [D, 1·H, I] = [2, 5, 3] calls for 30"
    );
}

#[test]
fn pytorch_weights_that_do_not_fit_are_refused_by_name() {
    let zeros = vec![0.0; 100];
    let good = PyTorchTensors {
        weight_ih: &zeros[..60],
        weight_hh: &zeros,
        bias_ih: Some(&zeros[..20]),
        bias_hh: Some(&zeros[..20]),
    };
    assert!(LayerWeights::pytorch(Cell::lstm(), SHAPE, &[good, good]).is_ok());
    let one = words(LayerWeights::pytorch(Cell::lstm(), SHAPE, &[good]));
    assert_eq!(one, "the number of directions is 1, expected 2");
    let short = PyTorchTensors { bias_hh: Some(&zeros[..19]), ..good };
    let refused = words(LayerWeights::pytorch(Cell::lstm(), SHAPE, &[good, short]));
    assert_eq!(refused, "bias_hh_reverse has 19 elements where [G·H] = [20] calls for 20");
}

/// Checks weights of these cells: zeros of the right lengths, with peepholes of the given length.
fn of_cells(cells: &[Cell], peepholes: Option<usize>) -> Result<(), Error> {
    let rows = 2 * 5 * cells[0].gates();
    let (zeros, p) = (vec![0.0; rows * 5], peepholes.map(|len| vec![0.0; len]));
    let tensors =
        LayerTensors { w: &zeros[..rows * 3], r: &zeros, b: Some(&zeros[..rows * 2]), p: p.as_deref() };
    LayerWeights::per_direction(cells, SHAPE, GateOrder::Onnx, tensors).map(drop)
}

#[test]
fn peepholes_that_do_not_fit_are_refused() {
    let lstm = [Cell::lstm(); 2];
    assert!(of_cells(&lstm, Some(30)).is_ok());
    for len in [0, 15, 29, 31, 40] {
        let expected = format!("P has {len} elements where [D, 3·H] = [2, 15] calls for 30");
        assert_eq!(words(of_cells(&lstm, Some(len))), expected);
    }
    for cell in [Cell::gru(false), Cell::gru(true), Cell::rnn(Activation::Tanh)] {
        assert!(of_cells(&[cell; 2], None).is_ok());
        let refused = words(of_cells(&[cell; 2], Some(30)));
        let none = format!(
            "P has 30 elements where the shape of peepholes, which a {} has not, calls for 0",
            cell.op()
        );
        assert_eq!(refused, none);
    }
}

#[test]
fn thresholds_that_are_no_positive_numbers_are_refused() {
    for value in [0.0, -0.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        let clip = Some(value);
        let cells = [
            Cell::Lstm(LstmCell { clip, ..LstmCell::default() }),
            Cell::Gru(GruCell { clip, ..GruCell::default() }),
            Cell::Rnn(RnnCell { clip, ..RnnCell::default() }),
        ];
        for cell in cells {
            let expected = format!("clip is {value}, expected a positive number");
            assert_eq!(words(of_cells(&[cell; 2], None)), expected);
            let good = forms().into_iter().find(|good| good.op() == cell.op()).unwrap();
            assert_eq!(words(of_cells(&[good, cell], None)), expected, "in the second direction");
        }
    }
    let smallest = Some(f32::from_bits(1));
    assert!(of_cells(&[Cell::Rnn(RnnCell { clip: smallest, ..RnnCell::default() }); 2], None).is_ok());
}

#[test]
fn parameters_of_activations_that_are_not_finite_are_refused() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let beta = format!("activation beta is {bad}, expected a finite number");
        let alpha = format!("activation alpha is {bad}, expected a finite number");
        for (activation, expected) in [
            (Activation::Affine { alpha: bad, beta: 0.0 }, &alpha),
            (Activation::Affine { alpha: 1.0, beta: bad }, &beta),
            (Activation::LeakyRelu { alpha: bad }, &alpha),
            (Activation::ThresholdedRelu { alpha: bad }, &alpha),
            (Activation::ScaledTanh { alpha: bad, beta: 1.0 }, &alpha),
            (Activation::ScaledTanh { alpha: 1.0, beta: bad }, &beta),
            (Activation::HardSigmoid { alpha: bad, beta: 1.0 }, &alpha),
            (Activation::HardSigmoid { alpha: 1.0, beta: bad }, &beta),
            (Activation::Elu { alpha: bad }, &alpha),
        ] {
            let mut cells = vec![Cell::rnn(activation)];
            for at in 0..3 {
                let mut lstm = LstmCell::default();
                lstm.activations[at] = activation;
                cells.push(Cell::Lstm(lstm));
            }
            for at in 0..2 {
                let mut gru = GruCell::default();
                gru.activations[at] = activation;
                cells.push(Cell::Gru(gru));
            }
            for cell in cells {
                assert_eq!(&words(of_cells(&[cell; 2], None)), expected, "{cell:?}");
            }
        }
    }
}

#[test]
fn cells_that_do_not_fit_the_directions_are_refused() {
    let lstm = Cell::lstm();
    assert_eq!(words(of_cells(&[lstm], None)), "the number of cells is 1, expected 2");
    assert_eq!(words(of_cells(&[lstm; 3], None)), "the number of cells is 3, expected 2");
    let refused = |cells: [Cell; 2]| words(of_cells(&cells, None));
    let (gru, rnn) = (Cell::gru(true), Cell::rnn(Activation::Tanh));
    assert_eq!(refused([lstm, gru]), "the number of gates of a direction is 3, expected 4");
    assert_eq!(refused([gru, rnn]), "the number of gates of a direction is 1, expected 3");
    assert_eq!(refused([rnn, lstm]), "the number of gates of a direction is 4, expected 1");
    assert!(of_cells(&[gru, Cell::gru(false)], None).is_ok(), "options may differ");
}

#[test]
fn sizes_that_overflow_are_refused() {
    let refused = |input, hidden| {
        let shape = Shape { input, hidden, direction: Direction::Forward };
        words(lstm(shape, &[], &[], None))
    };
    assert_eq!(refused(1, usize::MAX), "the size of W overflows");
    assert_eq!(refused(usize::MAX, 1), "the size of W overflows");
    assert_eq!(refused(0, usize::MAX / 16), "the size of R overflows");

    let layer = layer();
    assert_eq!(words(layer.new_state(usize::MAX)), "the size of state overflows");
    let rows = usize::MAX / 64;
    assert_eq!(words(layer.new_state(rows)), format!("no memory for state ({} numbers)", 10 * rows));

    let absurd = Dims { time: usize::MAX, directions: 1, batch: 2, width: 1 };
    assert_eq!(words(View::<f32>::new(&[], absurd, Layout::TimeMajor)), "the size of tensor overflows");
    let far = Strides { time: usize::MAX, direction: 0, batch: 1 };
    let dims = Dims { time: 3, ..absurd };
    assert_eq!(words(View::strided(&[0.0; 9], dims, far)), "the size of tensor overflows");
    assert_eq!(words(ViewMut::strided(&mut [0.0; 9], dims, far)), "the size of tensor overflows");
}

#[test]
fn states_larger_than_the_free_memory_are_refused() {
    // Linux gives such addresses if it is asked to overcommit, and ends the process that fills them.
    for bytes in [1 << 42, 1 << 45] {
        let rows = bytes / (10 * size_of::<f32>());
        let refused = format!("no memory for state ({} numbers)", 10 * rows);
        let layer = layer();
        assert_eq!(words(layer.new_state(rows)), refused);
        assert_eq!(words(layer.stream(rows)), refused);
        assert_eq!(words(Stack::new(vec![layer]).unwrap().new_state(rows)), refused);
    }
}

#[test]
fn weights_that_are_not_finite_are_refused_by_tensor_and_index() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        // In the first direction and in the second, whose elements follow in the same tensor.
        let (w, r, b) = ([0, 119], [7, 100], [3, 21, 79]);
        let places = w.map(|i| ("W", i)).into_iter().chain(r.map(|i| ("R", i))).chain(b.map(|i| ("B", i)));
        for (tensor, index) in places.chain([("P", 0), ("P", 14), ("P", 15), ("P", 29)]) {
            let mut contents = Case { peepholes: true, ..case() }.contents();
            match tensor {
                "W" => contents.w[index] = bad,
                "R" => contents.r[index] = bad,
                "B" => contents.b.as_mut().unwrap()[index] = bad,
                _ => contents.p.as_mut().unwrap()[index] = bad,
            }
            let tensors = contents.tensors();
            let refused = words(LayerWeights::new(Cell::lstm(), SHAPE, GateOrder::Onnx, tensors));
            assert_eq!(refused, format!("{tensor}[{index}] is NaN or infinite"));
        }
    }
}

#[test]
fn inputs_that_do_not_fit_the_layer_are_refused_by_extent() {
    let refused = |x_dims| refused(x_dims, DIMS, None, state_for(Cell::lstm(), SHAPE, 2));
    assert_eq!(refused(Dims { width: 4, ..X_DIMS }), "X input size is 4, expected 3");
    assert_eq!(refused(Dims { directions: 2, ..X_DIMS }), "X directions is 2, expected 1");
    assert_eq!(refused(Dims { batch: 3, ..X_DIMS }), "the state's batch is 2, expected 3");
}

#[test]
fn outputs_that_do_not_fit_are_refused_by_extent() {
    let refused = |y_dims| refused(X_DIMS, y_dims, None, state_for(Cell::lstm(), SHAPE, 2));
    assert_eq!(refused(Dims { width: 6, ..DIMS }), "Y width is 6, expected 5");
    assert_eq!(refused(Dims { batch: 3, ..DIMS }), "Y batch is 3, expected 2");
    assert_eq!(refused(Dims { time: 5, ..DIMS }), "Y time is 5, expected 4");
    assert_eq!(refused(Dims { directions: 1, ..DIMS }), "Y directions is 1, expected 2");
}

#[test]
fn states_of_other_layers_are_refused() {
    let refused = |shape, batch| refused(X_DIMS, DIMS, None, state_for(Cell::lstm(), shape, batch));
    assert_eq!(refused(Shape { hidden: 6, ..SHAPE }, 2), "the state's hidden size is 6, expected 5");
    let one_way = Shape { direction: Direction::Forward, ..SHAPE };
    assert_eq!(refused(one_way, 2), "the state's directions is 1, expected 2");
    assert_eq!(refused(SHAPE, 0), "the state's batch is 0, expected 2");
}

#[test]
fn states_of_other_operators_are_refused() {
    for cell in [Cell::gru(false), Cell::gru(true), Cell::rnn(Activation::Tanh)] {
        let of_lstm = refused(X_DIMS, DIMS, None, state_for(cell, SHAPE, 2));
        assert_eq!(of_lstm, "the number of the state's cell states is 0, expected 20");
        let layer = Layer::new(&Case::new(cell, SHAPE, 1, 1, 0).contents().weights()).unwrap();
        let mut state = state_for(Cell::lstm(), SHAPE, 2);
        let step = words(layer.step(&[1.0; 6], &mut state, &mut [0.0; 20], &mut Scratch::new()));
        assert_eq!(step, "the number of the state's cell states is 20, expected 0");
    }
}

#[test]
fn sequence_lens_out_of_range_are_refused_by_row() {
    let refused = |lens: &[i32]| refused(X_DIMS, DIMS, Some(lens), state_for(Cell::lstm(), SHAPE, 2));
    let range = "expected 0 to 4 (the time steps of X)";
    assert_eq!(refused(&[4, -1]), format!("sequence_lens[1] is -1, {range}"));
    assert_eq!(refused(&[5, 4]), format!("sequence_lens[0] is 5, {range}"));
    assert_eq!(refused(&[i32::MIN, i32::MAX]), format!("sequence_lens[0] is -2147483648, {range}"));
    assert_eq!(refused(&[1]), "sequence_lens has 1 elements where the shapes call for 2");
    assert_eq!(refused(&[1, 1, 1]), "sequence_lens has 3 elements where the shapes call for 2");
}

#[test]
fn a_step_takes_exactly_its_rows() {
    let layer = layer();
    let mut state = layer.new_state(2).unwrap();
    state.h_mut().fill(0.25);
    let before = state.clone();
    let mut refused = |x: usize, y: usize| {
        let (x, mut y) = (vec![1.0; x], vec![SENTINEL; y]);
        let result = words(layer.step(&x, &mut state, &mut y, &mut Scratch::new()));
        assert!(y.iter().all(|y| y.to_bits() == SENTINEL.to_bits()), "y was written");
        assert_eq!(state, before, "the state was written");
        result
    };
    assert_eq!(refused(5, 20), "x has 5 elements where [B, I] = [2, 3] calls for 6");
    assert_eq!(refused(9, 20), "x has 9 elements where [B, I] = [2, 3] calls for 6");
    assert_eq!(refused(6, 10), "y has 10 elements where [D, B, H] = [2, 2, 5] calls for 20");
}

#[test]
fn views_beyond_their_memory_are_refused() {
    let dims = Dims { time: 3, directions: 1, batch: 2, width: 4 };
    let short = words(View::new(&[0.0; 23], dims, Layout::TimeMajor));
    assert_eq!(short, "tensor data has 23 elements where the shapes call for 24");
    let long = words(ViewMut::new(&mut [0.0; 25], dims, Layout::BatchMajor));
    assert_eq!(long, "tensor data has 25 elements where the shapes call for 24");
    // The last row starts at 2 · 10 + 5 and has 4 elements.
    let strides = Strides { time: 10, direction: 0, batch: 5 };
    assert!(View::strided(&[0.0; 29], dims, strides).is_ok());
    let short = words(View::strided(&[0.0; 28], dims, strides));
    assert_eq!(short, "tensor data has 28 elements where the shapes call for 29");
    assert!(ViewMut::strided(&mut [0.0; 29], dims, strides).is_ok());
    let short = words(ViewMut::strided(&mut [0.0; 28], dims, strides));
    assert_eq!(short, "tensor data has 28 elements where the shapes call for 29");
}

#[test]
fn output_rows_that_overlap_are_refused() {
    let dims = Dims { time: 3, directions: 1, batch: 2, width: 4 };
    for (time, batch) in [(0, 4), (8, 0), (4, 4), (7, 4), (8, 3)] {
        let strides = Strides { time, direction: 0, batch };
        let refused = words(ViewMut::strided(&mut [0.0; 100], dims, strides));
        assert_eq!(
            refused, "rows of the output tensor overlap or interleave: its strides are too small",
            "{strides:?}"
        );
        assert!(View::strided(&[0.0; 100], dims, strides).is_ok(), "inputs may overlap");
    }
    assert!(ViewMut::strided(&mut [0.0; 100], dims, Strides { time: 8, direction: 0, batch: 4 }).is_ok());
}

#[test]
fn empty_tensors_may_have_any_strides() {
    let any = Strides { time: usize::MAX, direction: usize::MAX, batch: usize::MAX };
    let shape = Shape { input: 0, ..SHAPE };
    let case = Case::new(Cell::lstm(), shape, 4, 2, 3);
    let contents = case.contents();
    let layer = Layer::new(&contents.weights()).unwrap();
    let mut state = contents.state(&layer, case.batch);
    let x = View::strided(&[], case.x_dims(), any).unwrap();
    layer.forward(Sequence::views(x, None), &mut state, &mut Scratch::new()).unwrap();
    let expected = rnnpack_dev::expected::<f32>(&case, &contents);
    assert_eq!((state.h().len(), x.row(3, 0, 1)), (expected.h.len(), &[][..]));

    let none = Dims { batch: 0, ..DIMS };
    let view = ViewMut::<f32>::strided(&mut [], none, any).unwrap();
    let (low, high) = view.direction(1).split_batch(0);
    assert_eq!((low.dims().batch, high.dims().batch), (0, 0));
}

#[test]
fn an_unknown_instruction_set_is_refused_with_the_known_ones() {
    let Err(Error::UnknownIsa { name, available }) = Planner::for_isa("sse9") else { panic!("no refusal") };
    assert_eq!(name, "sse9");
    assert_eq!(available, Variant::available().map(Variant::name).collect::<Vec<_>>());
    let list = available.join(", ");
    let expected = format!("instruction set \"sse9\" is not available here; use one of: {list}");
    assert_eq!(words(Planner::for_isa("sse9")), expected);
}

#[test]
fn stacks_that_do_not_fit_are_refused() {
    assert_eq!(words(Stack::new(vec![])), "a stack needs at least one layer");
    let refused = words(Stack::new(vec![layer(), layer()]));
    assert_eq!(refused, "layer 1 takes 3 inputs, but the layer below it gives 10 outputs");
}

#[test]
fn a_stack_refuses_before_its_first_layer_runs() {
    let shape = Shape { input: 10, hidden: 2, direction: Direction::Forward };
    let top = Layer::new(&Case::new(Cell::lstm(), shape, 1, 1, 0).contents().weights()).unwrap();
    let stack = Stack::new(vec![layer(), top]).unwrap();
    let other = Stack::new(vec![layer()]).unwrap();
    let x = x(X_DIMS);
    let refused = |of: &Stack, batch: usize, y_dims: Dims, lens: Option<&[i32]>| {
        let mut state = of.new_state(batch).unwrap();
        state.layers_mut()[0].h_mut().fill(0.5);
        let before = state.clone();
        let mut y = vec![SENTINEL; y_dims.checked_len().unwrap()];
        let sequence = Sequence::views(
            View::new(&x, X_DIMS, Layout::TimeMajor).unwrap(),
            Some(ViewMut::new(&mut y, y_dims, Layout::TimeMajor).unwrap()),
        );
        let sequence = sequence.optional_lens(lens);
        let result = words(stack.forward(sequence, &mut state, &mut StackScratch::new()));
        assert!(y.iter().all(|y| y.to_bits() == SENTINEL.to_bits()), "Y was written");
        assert_eq!(state, before, "a state was written");
        result
    };
    let y_dims = Dims { directions: 1, width: 2, ..DIMS };
    assert_eq!(refused(&stack, 2, Dims { width: 3, ..y_dims }, None), "Y width is 3, expected 2");
    assert_eq!(refused(&stack, 3, y_dims, None), "the state's batch is 3, expected 2");
    assert_eq!(refused(&other, 2, y_dims, None), "the state's layers is 1, expected 2");
    let too_long = "sequence_lens[1] is 9, expected 0 to 4 (the time steps of X)";
    assert_eq!(refused(&stack, 2, y_dims, Some(&[0, 9])), too_long);
}

#[test]
fn the_kernels_refuse_at_their_own_door() {
    for (variant, cell) in Variant::available().flat_map(|v| forms().map(|cell| (v, cell))) {
        let zeros = vec![0.0; 25 * cell.gates()];
        let tensors = Tensors { w: &zeros[..15 * cell.gates()], r: &zeros, wb: None, rb: None, p: None };
        let packed =
            PackedWeights::new(variant, &Weights::new(cell, [3, 5], GateOrder::Onnx, tensors).unwrap())
                .unwrap();
        let refused = |h_len: usize, c_len: usize, y_dims: Dims| {
            let (x, mut h, mut c) = (x(X_DIMS), vec![SENTINEL; h_len], vec![SENTINEL; c_len]);
            let mut y = vec![SENTINEL; y_dims.checked_len().unwrap()];
            let call = Call {
                x: View::new(&x, X_DIMS, Layout::TimeMajor).unwrap(),
                y: Some(ViewMut::new(&mut y, y_dims, Layout::TimeMajor).unwrap()),
                lens: None,
                reverse: false,
                h: &mut h,
                c: &mut c,
                blocking: Blocking { rows: 0, steps: 0 },
                stop: None,
            };
            let result = words(forward(&packed, call, &mut rnnpack_kernels::Scratch::new()));
            let written = [h, c, y].concat().iter().any(|v| v.to_bits() != SENTINEL.to_bits());
            assert!(!written, "something was written");
            result
        };
        let y_dims = Dims { directions: 1, ..DIMS };
        let c = if cell.has_cell_state() { 10 } else { 0 };
        let of_c = format!("c has {} elements where the shapes call for {c}", c + 1);
        assert_eq!(refused(9, c, y_dims), "h has 9 elements where the shapes call for 10");
        assert_eq!(refused(10, c + 1, y_dims), of_c);
        assert_eq!(refused(10, c, DIMS), "Y directions is 2, expected 1");
    }
}
