//! Tests layers over `matrixmultiply`: layers of doubles, and the unfused baseline of f32. Both have the same code.

use allocation_counter::measure;
use proptest::prelude::*;
use proptest::sample::select;
use rnnpack::compare::within;
use rnnpack::reference::{self, Real};
use rnnpack::{
    Activation, Cell, Dims, Direction, Error, GateOrder, Layer, LayerF64, LayerTensors, LayerWeights, Layout,
    Number, Scratch, ScratchF64, Sequence, Shape, State, Strides, UnfusedLayer, UnfusedScratch, View,
    ViewMut,
};
use rnnpack_dev::forms::forms;
use rnnpack_dev::near::Near;
use rnnpack_dev::numbers::Numbers;
use rnnpack_dev::options::{activations, cells};

/// A layer and a call of it: everything that its result depends on.
#[derive(Clone, Debug)]
struct Case {
    /// The cells of each direction.
    cells: Vec<Cell>,
    shape: Shape,
    order: GateOrder,
    time: usize,
    batch: usize,
    lens: Option<Vec<i32>>,
    bias: bool,
    peepholes: bool,
    /// The nesting of the axes of X and Y, innermost first: 0 time, 1 direction, 2 batch.
    nestings: [[usize; 3]; 2],
    /// The number of unused numbers after every row.
    gap: usize,
    /// The size of the pre-activations.
    scale: f64,
    seed: u64,
}

impl Case {
    fn new(cell: Cell, shape: Shape, [time, batch]: [usize; 2]) -> Case {
        let cells = vec![cell; shape.direction.count()];
        let (order, lens, nestings) = (GateOrder::Onnx, None, [[2, 1, 0]; 2]);
        let (bias, peepholes, gap, scale, seed) = (true, false, 0, 1.0, 1);
        Case { cells, shape, order, time, batch, lens, bias, peepholes, nestings, gap, scale, seed }
    }

    fn x_dims(&self) -> Dims {
        Dims { time: self.time, directions: 1, batch: self.batch, width: self.shape.input }
    }

    fn y_dims(&self) -> Dims {
        Dims { directions: self.cells.len(), width: self.shape.hidden, ..self.x_dims() }
    }

    fn contents<F: Number>(&self) -> Contents<F> {
        let Shape { input, hidden, .. } = self.shape;
        let rows = self.cells.len() * self.cells[0].gates() * hidden;
        let mut numbers = Numbers(self.seed);
        let mut take = |count, scale| take(&mut numbers, count, scale);
        let weight = self.scale / ((input + hidden) as f64).sqrt();
        let peepholes = self.peepholes && self.cells[0].has_cell_state();
        let states = self.cells.len() * self.batch * hidden;
        let strides = self.strides(self.x_dims(), 0);
        Contents {
            w: take(rows * input, weight),
            r: take(rows * hidden, weight),
            b: self.bias.then(|| take(rows * 2, self.scale / 2.0)),
            p: peepholes.then(|| take(self.cells.len() * hidden * 3, weight)),
            x: take(reach(self.x_dims(), strides), 2.0),
            h: take(states, 1.0),
            c: take(if self.cells[0].has_cell_state() { states } else { 0 }, 2.0),
        }
    }

    fn strides(&self, dims: Dims, nesting: usize) -> Strides {
        let extents = [dims.time, dims.directions, dims.batch];
        let (mut strides, mut span) = ([0; 3], dims.width + self.gap);
        for axis in self.nestings[nesting] {
            strides[axis] = span;
            span *= extents[axis];
        }
        Strides { time: strides[0], direction: strides[1], batch: strides[2] }
    }

    fn weights<'a, F: Number>(&self, contents: &'a Contents<F>) -> LayerWeights<'a, F> {
        let Contents { w, r, b, p, .. } = contents;
        let tensors = LayerTensors { w, r, b: b.as_deref(), p: p.as_deref() };
        LayerWeights::per_direction(&self.cells, self.shape, self.order, tensors).unwrap()
    }

    fn layer<F: Number>(&self, contents: &Contents<F>) -> UnfusedLayer<F> {
        UnfusedLayer::new(&self.weights(contents)).unwrap()
    }

    fn x<'a, F: Number>(&self, contents: &'a Contents<F>) -> View<'a, F> {
        View::strided(&contents.x, self.x_dims(), self.strides(self.x_dims(), 0)).unwrap()
    }

    /// Runs a call from the initial state.
    fn run<F: Number + Default>(
        &self,
        layer: &UnfusedLayer<F>,
        contents: &Contents<F>,
        scratch: &mut UnfusedScratch<F>,
    ) -> Output<F> {
        let mut state = layer.new_state(self.batch).unwrap();
        state.h_mut().copy_from_slice(&contents.h);
        state.c_mut().copy_from_slice(&contents.c);
        let (dims, strides) = (self.y_dims(), self.strides(self.y_dims(), 1));
        let mut y = vec![F::rounded(UNTOUCHED); reach(dims, strides)];
        let view = ViewMut::strided(&mut y, dims, strides).unwrap();
        let sequence = Sequence::views(self.x(contents), Some(view)).optional_lens(self.lens.as_deref());
        layer.forward(sequence, &mut state, scratch).unwrap();
        let written = View::strided(&y, dims, strides).unwrap();
        let untouched = y.iter().filter(|&&y| y == F::rounded(UNTOUCHED)).count();
        let y: Vec<F> = places(dims).flat_map(|(t, d, b)| written.row(t, d, b)).copied().collect();
        assert_eq!(untouched, reach(dims, strides) - y.len(), "Y was written beside its rows");
        Output { y, h: state.h().to_vec(), c: state.c().to_vec() }
    }

    /// The naive reference, direction by direction.
    fn expected<F: Number, R: Real + From<F>>(&self, contents: &Contents<F>) -> Output<R> {
        let convert = |v: &[F]| v.iter().map(|&v| R::from(v)).collect::<Vec<R>>();
        let (mut h, mut c) = (convert(&contents.h), convert(&contents.c));
        let slab = self.batch * self.shape.hidden;
        let cells = if c.is_empty() { 0 } else { slab };
        let one = |(d, weights)| {
            let reverse = d == 1 || self.shape.direction == Direction::Reverse;
            let (h, c) = (&mut h[d * slab..][..slab], &mut c[d * cells..][..cells]);
            reference::forward(weights, self.x(contents), self.lens.as_deref(), reverse, h, c).unwrap()
        };
        let of: Vec<Vec<R>> = self.weights(contents).directions().iter().enumerate().map(one).collect();
        let hidden = self.shape.hidden;
        let row = |(t, d, b): (usize, usize, usize)| &of[d][(t * self.batch + b) * hidden..][..hidden];
        Output { y: places(self.y_dims()).flat_map(row).copied().collect(), h, c }
    }
}

/// The contents of Y before a call. No result is so large.
const UNTOUCHED: f64 = 1e30;

/// The places of every row of a tensor, in the order of a dense `[T, D, B]`.
fn places(Dims { time, directions, batch, .. }: Dims) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..time).flat_map(move |t| (0..directions).flat_map(move |d| (0..batch).map(move |b| (t, d, b))))
}

/// The number of elements up to the end of the last row.
fn reach(dims: Dims, strides: Strides) -> usize {
    let end = |(t, d, b)| t * strides.time + d * strides.direction + b * strides.batch + dims.width;
    places(dims).map(end).max().unwrap_or(0)
}

/// Weights, X in its place, and the initial state `[D, B, H]`.
#[derive(Clone)]
struct Contents<F> {
    w: Vec<F>,
    r: Vec<F>,
    b: Option<Vec<F>>,
    p: Option<Vec<F>>,
    x: Vec<F>,
    h: Vec<F>,
    c: Vec<F>,
}

/// Y dense `[T, D, B, H]`, final h and c `[D, B, H]`.
#[derive(Debug, PartialEq)]
struct Output<F> {
    y: Vec<F>,
    h: Vec<F>,
    c: Vec<F>,
}

impl<F> Output<F> {
    fn tensors(&self) -> [(&'static str, &[F]); 3] {
        [("Y", &self.y), ("Y_h", &self.h), ("Y_c", &self.c)]
    }
}

/// Uniform in ±`scale`; one in sixteen is a zero of either sign or tiny.
fn take<F: Number>(numbers: &mut Numbers, count: usize, scale: f64) -> Vec<F> {
    let one = |bits: u64| match bits % 16 {
        0 => [0.0, -0.0, 1e-41][(bits >> 8) as usize % 3],
        _ => ((bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0) * scale,
    };
    (0..count).map(|_| F::rounded(one(numbers.bits()))).collect()
}

/// Runs the case and compares it with the f64 reference. Returns the largest bound relative to the largest value.
/// Returns `None` if unbounded activations let values grow so much that the bounds say nothing.
fn check<F: Number, const BITS: u32>(case: &Case) -> Option<f64>
where
    f64: From<F>,
    Near<BITS>: From<F>,
{
    let contents = case.contents::<F>();
    let got = case.run(&case.layer(&contents), &contents, &mut UnfusedScratch::new());
    let exact = case.expected::<F, f64>(&contents);
    let bounds = case.expected::<F, Near<BITS>>(&contents);
    if bounds.tensors().iter().flat_map(|(_, bounds)| *bounds).any(|bound| !bound.error().is_finite()) {
        return None;
    }
    let (mut largest, mut scale) = (0.0f64, 0.0f64);
    for (((name, got), (_, exact)), (_, bounds)) in
        got.tensors().into_iter().zip(exact.tensors()).zip(bounds.tensors())
    {
        assert_eq!([got.len(), bounds.len()], [exact.len(); 2], "{name}");
        within(got, exact, |i| bounds[i].error()).unwrap_or_else(|e| panic!("{name}: {e}"));
        for (exact, bound) in exact.iter().zip(bounds) {
            assert_eq!(bound.value.to_bits(), exact.to_bits(), "the bound is about another value");
            (largest, scale) = (largest.max(bound.error()), scale.max(exact.abs()));
        }
    }
    Some(if scale > 0.0 { largest / scale } else { 0.0 })
}

/// Boxed, since two of them in one test need more stack than a thread has, in a build without optimizations.
fn case() -> BoxedStrategy<Case> {
    let direction = select(vec![Direction::Forward, Direction::Reverse, Direction::Bidirectional]);
    let shape = (0usize..6, 1usize..11, direction).prop_map(|(input, hidden, direction)| Shape {
        input,
        hidden,
        direction,
    });
    let nesting = || Just([0, 1, 2]).prop_shuffle();
    let extents = (0usize..6, 0usize..6).prop_flat_map(|(time, batch)| {
        let lens = prop::collection::vec(0..=time as i32, batch);
        (Just(time), Just(batch), prop::option::of(lens))
    });
    let order = select(vec![GateOrder::Onnx, GateOrder::PyTorch]);
    let flags = (any::<bool>(), any::<bool>(), 0usize..3, 0.1f64..3.0, any::<u64>());
    let any = cells(activations(prop::option::of(-1.5f32..1.5)));
    let cells = prop_oneof![3 => any, 1 => select(forms().to_vec()).prop_map(|cell| [cell; 2])];
    (cells, shape, order, extents, [nesting(), nesting()], flags)
        .prop_map(
            |(cells, shape, order, (time, batch, lens), nestings, (bias, peepholes, gap, scale, seed))| {
                let cells = cells[..shape.direction.count()].to_vec();
                Case { cells, shape, order, time, batch, lens, bias, peepholes, nestings, gap, scale, seed }
            },
        )
        .boxed()
}

proptest! {
    #[test]
    fn doubles_are_within_their_bound_of_the_reference(case in case()) {
        prop_assume!(check::<f64, 53>(&case).is_some());
    }

    #[test]
    fn the_baseline_is_within_its_bound_of_the_reference(case in case()) {
        prop_assume!(check::<f32, 24>(&case).is_some());
    }

    #[test]
    fn what_scratch_held_before_changes_no_bit(case in case(), other in case()) {
        let (contents, others) = (case.contents::<f64>(), other.contents::<f64>());
        let mut dirty = UnfusedScratch::new();
        other.run(&other.layer(&others), &others, &mut dirty);
        let layer = case.layer(&contents);
        let fresh = case.run(&layer, &contents, &mut UnfusedScratch::new());
        prop_assert_eq!(case.run(&layer, &contents, &mut dirty), fresh);
    }
}

const SHAPE: Shape = Shape { input: 3, hidden: 5, direction: Direction::Bidirectional };

/// So large that the products are split in every way: more than 256 terms and 64 rows, with remainders.
#[test]
fn large_products_are_within_a_bound_that_no_wrong_term_meets() {
    let shape = Shape { input: 300, hidden: 67, direction: Direction::Forward };
    for cell in forms() {
        let case = Case { lens: Some((0..70).map(|b| b % 4).collect()), ..Case::new(cell, shape, [3, 70]) };
        assert!(check::<f64, 53>(&case).unwrap() < 1e-11, "{cell:?}");
        assert!(check::<f32, 24>(&case).unwrap() < 1e-2, "{cell:?}");
    }
}

/// Longer than the steps that are projected together.
#[test]
fn sequences_of_many_chunks_are_within_their_bound() {
    let shape = Shape { input: 100, direction: Direction::Bidirectional, hidden: 2 };
    for cell in forms() {
        let lens = Some(vec![5000, 0, 2600, 2500]);
        let case = Case { lens, scale: 0.5, ..Case::new(cell, shape, [5000, 4]) };
        assert!(check::<f64, 53>(&case).unwrap() < 1e-11, "{cell:?}");
    }
}

#[test]
fn a_step_is_a_sequence_of_one() {
    for cell in forms() {
        let case = Case::new(cell, SHAPE, [1, 2]);
        let contents = case.contents::<f64>();
        let layer = case.layer(&contents);
        let expected = case.run(&layer, &contents, &mut ScratchF64::new());
        let mut state = layer.new_state(2).unwrap();
        state.h_mut().copy_from_slice(&contents.h);
        state.c_mut().copy_from_slice(&contents.c);
        let mut y = vec![0.0; 20];
        layer.step(&contents.x, &mut state, &mut y, &mut ScratchF64::new()).unwrap();
        assert_eq!((y, state.h(), state.c()), (expected.y, &expected.h[..], &expected.c[..]));
    }
}

#[test]
fn nothing_that_is_not_finite_reaches_another_row() {
    for cell in forms() {
        let case = Case::new(cell, SHAPE, [4, 6]);
        let mut contents = case.contents::<f64>();
        let layer = case.layer(&contents);
        let clean = case.run(&layer, &contents, &mut ScratchF64::new());
        let of_row = |y: &[f64], b| {
            let rows = y.chunks(5).skip(b).step_by(6).flatten();
            rows.map(|y| y.to_bits()).collect::<Vec<_>>()
        };
        for bad in [f64::NAN, f64::INFINITY] {
            (0..4).for_each(|t| contents.x[(t * 6 + 2) * 3] = bad);
            let got = case.run(&layer, &contents, &mut ScratchF64::new());
            for b in [0, 1, 3, 4, 5] {
                assert_eq!(of_row(&got.y, b), of_row(&clean.y, b), "{cell:?}, row {b}");
            }
        }
    }
}

/// Makes a call that must be refused, in f64 here and in f32 by the kernels. Checks that nothing was written.
fn refused(x_dims: Dims, y_dims: Dims, lens: Option<&[i32]>, of: Shape, batch: usize, cell: Cell) -> String {
    let case = |shape, cell| Case::new(cell, shape, [1, batch]);
    let x = vec![1.0; x_dims.checked_len().unwrap()];
    let mut y = vec![UNTOUCHED; y_dims.checked_len().unwrap()];
    let ours = case(SHAPE, Cell::lstm());
    let layer: LayerF64 = ours.layer(&ours.contents());
    let other = case(of, cell);
    let mut state: State<f64> = other.layer(&other.contents()).new_state(batch).unwrap();
    state.h_mut().fill(0.5);
    let before = state.clone();
    let view = View::new(&x, x_dims, Layout::TimeMajor).unwrap();
    let sequence = Sequence::views(view, Some(ViewMut::new(&mut y, y_dims, Layout::TimeMajor).unwrap()));
    let sequence = sequence.optional_lens(lens);
    let words = layer.forward(sequence, &mut state, &mut ScratchF64::new()).unwrap_err().to_string();
    assert!(y.iter().all(|&y| y == UNTOUCHED) && state == before, "something was written");

    let kernels = Layer::new(&ours.weights(&ours.contents::<f32>())).unwrap();
    let mut state = Layer::new(&other.weights(&other.contents::<f32>())).unwrap().new_state(batch).unwrap();
    let (x, mut y) = (vec![1.0; x.len()], vec![0.0; y.len()]);
    let view = View::new(&x, x_dims, Layout::TimeMajor).unwrap();
    let sequence = Sequence::views(view, Some(ViewMut::new(&mut y, y_dims, Layout::TimeMajor).unwrap()));
    let sequence = sequence.optional_lens(lens);
    let theirs = kernels.forward(sequence, &mut state, &mut Scratch::new()).unwrap_err().to_string();
    assert_eq!(words, theirs);
    words
}

#[test]
fn calls_that_do_not_fit_are_refused_in_the_words_of_the_kernels() {
    let y = Dims { time: 4, directions: 2, batch: 2, width: 5 };
    let x = Dims { directions: 1, width: 3, ..y };
    let one_way = Shape { direction: Direction::Forward, ..SHAPE };
    let lstm = Cell::lstm();
    for (words, expected) in [
        (refused(Dims { width: 4, ..x }, y, None, SHAPE, 2, lstm), "X input size is 4, expected 3"),
        (refused(x, Dims { time: 5, ..y }, None, SHAPE, 2, lstm), "Y time is 5, expected 4"),
        (refused(x, y, None, SHAPE, 3, lstm), "the state's batch is 3, expected 2"),
        (refused(x, y, None, one_way, 2, lstm), "the state's directions is 1, expected 2"),
        (
            refused(x, y, Some(&[4]), SHAPE, 2, lstm),
            "sequence_lens has 1 elements where the shapes call for 2",
        ),
        (
            refused(x, y, Some(&[-1, 4]), SHAPE, 2, lstm),
            "sequence_lens[0] is -1, expected 0 to 4 (the time steps of X)",
        ),
        (
            refused(x, y, None, SHAPE, 2, Cell::gru(true)),
            "the number of the state's cell states is 0, expected 20",
        ),
    ] {
        assert_eq!(words, expected);
    }
}

#[test]
fn a_state_with_more_than_the_cell_has_is_refused() {
    let (gru, lstm) = (Case::new(Cell::gru(true), SHAPE, [1, 2]), Case::new(Cell::lstm(), SHAPE, [1, 2]));
    let mut state = lstm.layer(&lstm.contents::<f64>()).new_state(2).unwrap();
    let layer = gru.layer(&gru.contents::<f64>());
    let e = layer.step(&[1.0; 6], &mut state, &mut [0.0; 20], &mut ScratchF64::new()).unwrap_err();
    assert_eq!(e.to_string(), "the number of the state's cell states is 20, expected 0");
}

#[test]
fn sizes_that_no_memory_holds_are_refused() {
    let shape = Shape { input: 0, hidden: 1, direction: Direction::Forward };
    let case = Case::new(Cell::rnn(Activation::Tanh), shape, [1, 1]);
    let layer: LayerF64 = case.layer(&case.contents());
    assert_eq!(
        layer.new_state(usize::MAX).unwrap_err().to_string(),
        "no memory for state (18446744073709551615 numbers)"
    );
    let overflow = Error::Kernel(rnnpack_kernels::Error::Overflow { what: "state" }).to_string();
    let wide = Case::new(Cell::rnn(Activation::Tanh), Shape { hidden: 2, ..shape }, [1, 1]);
    let layer: LayerF64 = wide.layer(&wide.contents());
    assert_eq!(layer.new_state(usize::MAX).unwrap_err().to_string(), overflow);
}

/// `matrixmultiply` packs into its own memory, with one allocation for every product. There are no other allocations.
#[test]
fn later_calls_allocate_nothing_but_what_products_take() {
    // The number of products of a step: one with h; for the hidden gate of a GRU another one, with r ⊙ h or with h.
    for (cell, products) in forms().into_iter().zip([1, 1, 2, 2, 1]) {
        let case = Case { lens: Some(vec![3, 0, 2]), ..Case::new(cell, SHAPE, [3, 3]) };
        let contents = case.contents::<f64>();
        let layer = case.layer(&contents);
        let (mut state, mut scratch) = (layer.new_state(3).unwrap(), ScratchF64::new());
        let mut y = vec![0.0; 90];
        let mut call = || {
            let y = ViewMut::new(&mut y, case.y_dims(), Layout::TimeMajor).unwrap();
            let sequence = Sequence::views(case.x(&contents), Some(y)).optional_lens(case.lens.as_deref());
            layer.forward(sequence, &mut state, &mut scratch).unwrap();
        };
        call();
        let later = measure(&mut call);
        assert_eq!((later.count_total, later.count_current), (2 * (1 + 3 * products), 0), "{cell:?}");
    }
}

#[test]
fn layers_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<LayerF64>();
    shared::<ScratchF64>();
    shared::<rnnpack::UnfusedLayer<f32>>();
}

#[test]
fn the_packed_bytes_are_those_of_all_doubles() {
    let (w, r) = ([0.5f64; 4 * 5 * 3], [0.5f64; 4 * 5 * 5]);
    let weights = LayerWeights::lstm(3, 5).w(&w).r(&r).build().unwrap();
    let layer = LayerF64::new(&weights).unwrap();
    assert_eq!(layer.packed_bytes(), (4 * 5 * (3 + 5) + 4 * 5) * size_of::<f64>());
}
