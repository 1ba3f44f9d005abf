//! Tests that a call on the calling thread allocates nothing after the first call of its size.
//!
//! A call on several threads hands its shares to rayon, which may allocate for its own purposes.

use allocation_counter::measure;
use rnnpack::{
    Cell, Direction, Layer, Layout, Network, Scratch, Sequence, Shape, Stack, StackScratch, State, Stream,
    Variant, View,
};
use rnnpack_dev::forms::forms;
use rnnpack_dev::{Case, Contents, embedded};

fn forward(
    layer: &Layer,
    case: &Case,
    contents: &Contents,
    state: &mut State,
    y: &mut [f32],
    scratch: &mut Scratch,
) {
    let sequence = Sequence::dense(&contents.x, y).optional_lens(case.lens.as_deref());
    layer.forward(sequence, state, scratch).unwrap();
}

const DIRECTIONS: [Direction; 3] = [Direction::Forward, Direction::Reverse, Direction::Bidirectional];

fn shape(direction: Direction) -> Shape {
    Shape { input: 19, hidden: 37, direction }
}

#[test]
fn the_counter_sees_the_first_call() {
    let case = Case::new(Cell::lstm(), shape(Direction::Forward), 5, 7, 1);
    let contents = case.contents();
    let layer = Layer::new(&contents.weights()).unwrap();
    let mut state = contents.state(&layer, case.batch);
    let mut y = vec![0.0; case.y_dims().checked_len().unwrap()];
    let mut scratch = Scratch::new();
    let first = measure(|| forward(&layer, &case, &contents, &mut state, &mut y, &mut scratch));
    assert!(first.count_total > 0);
}

#[test]
fn forward_does_not_allocate_after_the_first_call_of_a_size() {
    for variant in Variant::available() {
        for (cell, direction) in forms().into_iter().flat_map(|cell| DIRECTIONS.map(|d| (cell, d))) {
            let lens = Some(vec![5, 0, 3, 3, 1, 4, 2]);
            let large = Case { lens, peepholes: true, ..Case::new(cell, shape(direction), 5, 7, 1) };
            let contents = large.contents();
            let layer = contents.layer(variant);
            let mut state = contents.state(&layer, large.batch);
            let mut y = vec![0.0; large.y_dims().checked_len().unwrap()];
            let mut scratch = Scratch::new();
            forward(&layer, &large, &contents, &mut state, &mut y, &mut scratch);

            let small = Case { time: 2, batch: 3, lens: None, ..large.clone() };
            let of_small = small.contents();
            let mut small_state = of_small.state(&layer, small.batch);
            let mut small_y = vec![0.0; small.y_dims().checked_len().unwrap()];
            let later = measure(|| {
                forward(&layer, &large, &contents, &mut state, &mut y, &mut scratch);
                forward(&layer, &small, &of_small, &mut small_state, &mut small_y, &mut scratch);
                forward(&layer, &large, &contents, &mut state, &mut y, &mut scratch);
            });
            assert_eq!(later.count_total, 0, "{variant} {direction} {cell:?}");
        }
    }
}

#[test]
fn step_does_not_allocate_after_the_first_one() {
    for variant in Variant::available() {
        for (cell, batch) in forms().into_iter().flat_map(|cell| [1, 2, 9].map(|batch| (cell, batch))) {
            let case = Case::new(cell, shape(Direction::Forward), 1, batch, 2);
            let contents = case.contents();
            let layer = contents.layer(variant);
            let mut state = contents.state(&layer, batch);
            let mut y = vec![0.0; case.y_dims().checked_len().unwrap()];
            let mut scratch = Scratch::new();
            layer.step(&contents.x, &mut state, &mut y, &mut scratch).unwrap();
            let later = measure(|| {
                for _ in 0..10 {
                    layer.step(&contents.x, &mut state, &mut y, &mut scratch).unwrap();
                }
            });
            assert_eq!(later.count_total, 0, "{variant}, batch {batch}, {cell:?}");
        }
    }
}

#[test]
fn copying_a_state_into_another_allocates_nothing() {
    let layer =
        Layer::new(&Case::new(Cell::lstm(), shape(Direction::Bidirectional), 1, 9, 2).contents().weights());
    let layer = layer.unwrap();
    let (mut large, mut small) = (layer.new_state(9).unwrap(), layer.new_state(2).unwrap());
    large.h_mut().fill(0.5);
    small.c_mut().fill(-0.5);
    let mut copy = large.clone();
    let copying = measure(|| {
        copy.clone_from(&small);
        copy.clone_from(&large);
    });
    assert_eq!(copying.count_total, 0);
    assert_eq!(copy, large);
    copy.clone_from(&small);
    assert_eq!((copy.batch(), &copy), (2, &small));

    let stack = Stack::new(vec![layer.clone()]).unwrap();
    let (mut of_stack, other) = (stack.new_state(9).unwrap(), stack.new_state(9).unwrap());
    of_stack.layers_mut()[0].clone_from(&large);
    let copying = measure(|| of_stack.clone_from(&other));
    assert_eq!((copying.count_total, &of_stack), (0, &other));
}

#[test]
fn a_call_that_can_be_stopped_allocates_nothing_after_the_first_one() {
    let case = Case::new(Cell::lstm(), shape(Direction::Bidirectional), 50, 3, 2);
    let contents = case.contents();
    let layer = Layer::new(&contents.weights()).unwrap();
    let mut state = contents.state(&layer, case.batch);
    let mut y = vec![0.0; case.y_dims().checked_len().unwrap()];
    let mut scratch = Scratch::new();
    let mut call = |wanted: bool| {
        let stop = || wanted;
        let sequence = Sequence::dense(&contents.x, &mut y).stop(&stop);
        assert_eq!(layer.forward(sequence, &mut state, &mut scratch).is_err(), wanted);
    };
    call(false);
    let later = measure(|| [false, true, false].into_iter().for_each(&mut call));
    assert_eq!(later.count_total, 0);
}

#[test]
fn a_layer_from_bytes_leaves_its_weights_where_they_are() {
    for (cell, variant) in forms().into_iter().flat_map(|cell| Variant::available().map(move |v| (cell, v))) {
        let shape = Shape { input: 100, hidden: 200, direction: Direction::Bidirectional };
        let contents = Case::new(cell, shape, 1, 1, 3).contents();
        let bytes = embedded(&contents.layer(variant).to_bytes().unwrap(), 0);
        let mut layer = None;
        let loading = measure(|| layer = Some(Layer::from_static(bytes).unwrap()));
        assert!(layer.unwrap().packed_bytes() > 400_000);
        assert!(loading.bytes_max < 2048, "{} bytes, {variant}, {cell:?}", loading.bytes_max);
    }
}

#[test]
fn state_and_scratch_have_the_bytes_that_the_layer_tells() {
    for (cell, variant) in forms().into_iter().flat_map(|cell| Variant::available().map(move |v| (cell, v))) {
        for (time, batch) in [(0, 0), (1, 1), (1, 9), (40, 1), (7, 300)] {
            let case = Case::new(cell, shape(Direction::Bidirectional), time, batch, 4);
            let contents = case.contents();
            let layer = contents.layer(variant);
            let mut state = None;
            let zeros = measure(|| state = Some(layer.new_state(batch).unwrap()));
            let mut state = state.unwrap();
            assert_eq!(zeros.bytes_total, state.bytes() as u64);

            let mut y = vec![0.0; case.y_dims().checked_len().unwrap()];
            let mut scratch = Scratch::new();
            let call = measure(|| forward(&layer, &case, &contents, &mut state, &mut y, &mut scratch));
            // The scratch also holds the list of shares, here with one element.
            let list = measure(|| drop(Vec::from([rnnpack_kernels::Scratch::new()]))).bytes_total;
            let told = layer.scratch_bytes(time, batch).unwrap() as u64;
            let beside = call.bytes_total - told;
            assert!(
                (list..=4 * list).contains(&beside),
                "{told} + {beside}, {variant}, {cell:?}, {time}×{batch}"
            );
        }
    }
}

#[test]
fn a_stack_does_not_allocate_after_the_first_call() {
    for depth in 1..=5 {
        let sizes = [19, 64, 48, 32, 16, 8];
        let of_layer = |i: usize| {
            let shape = Shape { input: sizes[i], hidden: sizes[i + 1], direction: Direction::Forward };
            Layer::new(&Case::new(forms()[i], shape, 6, 5, i as u64).contents().weights()).unwrap()
        };
        let stack = Stack::new((0..depth).map(of_layer).collect()).unwrap();
        let case = Case::new(forms()[0], stack.layers()[0].shape(), 6, 5, 0);
        let contents = case.contents();
        let mut state = stack.new_state(case.batch).unwrap();
        let mut scratch = StackScratch::new();
        let mut call = || {
            let x = View::new(&contents.x, case.x_dims(), Layout::TimeMajor).unwrap();
            stack.forward(Sequence::views(x, None), &mut state, &mut scratch).unwrap();
        };
        assert!(measure(&mut call).count_total > 0);
        let later = measure(|| (0..3).for_each(|_| call()));
        assert_eq!(later.count_total, 0, "{depth} layers");
    }
}

/// Runs calls of a stream, with its own scratch and with a lent one.
fn calls<N: Network<Number = f32>>(
    stream: &mut Stream<N>,
    [x, y]: [usize; 2],
    lens: &[i32],
    scratch: &mut N::Scratch,
) {
    let (inputs, mut outputs) = (vec![0.5; lens.len() * x], vec![0.0; lens.len() * y]);
    let time = inputs.len() / (stream.batch() * x);
    let mut call = |scratch: Option<&mut N::Scratch>| {
        let (step, outputs) = (stream.batch(), &mut outputs[..]);
        match scratch {
            Some(scratch) => {
                let mut s = stream.with(scratch);
                s.step(&inputs[..step * x], &mut outputs[..step * y]).unwrap();
                s.forward(&inputs, outputs).unwrap();
                s.run(Sequence::dense(&inputs, outputs).lens(&lens[..step]).batch_major()).unwrap();
            }
            None => {
                stream.step(&inputs[..step * x], &mut outputs[..step * y]).unwrap();
                stream.forward(&inputs, outputs).unwrap();
                stream.run(Sequence::dense(&inputs, outputs).lens(&lens[..step]).concatenated()).unwrap();
                stream.run(Sequence::input(&inputs)).unwrap();
                stream.reset_row(0).unwrap();
            }
        }
    };
    assert!(lens.iter().all(|&len| len as usize <= time));
    call(None);
    call(Some(scratch));
    let later = measure(|| {
        for _ in 0..3 {
            call(None);
            call(Some(scratch));
        }
    });
    assert_eq!(later.count_total, 0, "{:?}", stream.network());
}

#[test]
fn streams_do_not_allocate_after_the_first_calls() {
    let lens = [4, 0, 2, 3, 1, 4, 4, 3, 2, 1, 0, 4]; // 12 rows of x and y: 3 batch rows in 4 steps
    for (cell, direction) in forms().into_iter().flat_map(|cell| DIRECTIONS.map(|d| (cell, d))) {
        let contents = Case::new(cell, shape(direction), 1, 1, 1).contents();
        let layer = Layer::new(&contents.weights()).unwrap();
        let above = Shape { input: layer.shape().output(), hidden: 11, direction };
        let above = Layer::new(&Case::new(cell, above, 1, 1, 1).contents().weights()).unwrap();
        let widths = [layer.shape().input, layer.shape().output()];
        calls(&mut layer.stream(3).unwrap(), widths, &lens, &mut Scratch::new());
        let widths = [layer.shape().input, above.shape().output()];
        let stack = Stack::new(vec![layer, above]).unwrap();
        calls(&mut stack.stream(3).unwrap(), widths, &lens, &mut StackScratch::new());
    }
}

#[test]
fn ten_thousand_streams_on_one_scratch_take_60_mb() {
    let shape = Shape { input: 20, hidden: 20, direction: Direction::Forward };
    let case = Case::new(Cell::lstm(), shape, 100, 1, 5);
    let contents = case.contents();
    let layer = Layer::new(&contents.weights()).unwrap();
    let mut y = vec![0.0; 100 * 20];
    let mut streams = Vec::new();
    let all = measure(|| {
        let mut scratch = Scratch::new();
        for _ in 0..10_000 {
            let mut stream = layer.stream(1).unwrap();
            stream.with(&mut scratch).forward(&contents.x, &mut y).unwrap();
            streams.push(stream);
        }
    });
    assert!(all.bytes_max <= 60_000_000, "{} bytes", all.bytes_max);
    // This shows that the counter works: a stream with its own scratch also needs memory for the gates of its steps.
    let mut own = None;
    let one = measure(|| {
        let mut stream = layer.stream(1).unwrap();
        stream.forward(&contents.x, &mut y).unwrap();
        own = Some(stream);
    });
    assert!(one.bytes_max > 6_000, "{} bytes", one.bytes_max);
}
