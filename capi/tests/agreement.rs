//! Tests that results of the C interface have the same bits as those of the crate `rnnpack`.

mod support;

use rnnpack::{Cell, Direction, GateOrder, Scratch, Sequence, Shape, State};
use rnnpack_capi::*;
use std::ffi::{CStr, CString};
use std::ptr::{null, null_mut};
use support::*;

const TIME: usize = 6;
const BATCH: usize = 5;
const LENS: [i32; BATCH] = [6, 0, 3, 6, 1];

/// Y and the final state of the crate, after a sequence `x` from the state `initial`. All are dense and time-major.
struct Expected {
    y: Vec<f32>,
    state: State,
}

impl Expected {
    fn new(case: &Case, x: &[f32], lens: Option<&[i32]>, initial: &[f32]) -> Expected {
        let (layer, Shape { hidden, direction, .. }) = (case.expected(), case.shape);
        let mut y = vec![0.0; TIME * BATCH * direction.count() * hidden];
        let mut state = layer.new_state(BATCH).unwrap();
        state.h_mut().copy_from_slice(initial);
        let cells = state.c().len();
        state.c_mut().copy_from_slice(&initial[..cells]);
        let sequence = Sequence::dense(x, &mut y).optional_lens(lens);
        layer.forward(sequence, &mut state, &mut Scratch::new()).unwrap();
        Expected { y, state }
    }

    #[track_caller]
    fn check(&self, what: &str, y: &[f32], [h, c]: [Vec<f32>; 2]) {
        assert_eq!(bits(y), bits(&self.y), "{what}: y");
        assert_eq!(bits(&h), bits(self.state.h()), "{what}: h");
        assert_eq!(bits(&c), bits(self.state.c()), "{what}: c");
    }
}

fn cases() -> impl Iterator<Item = Case> {
    let cells = cells().into_iter().flat_map(|cell| DIRECTIONS.map(|direction| (cell, direction)));
    let orders = [GateOrder::Onnx, GateOrder::PyTorch].into_iter().cycle();
    cells.zip(orders).map(|((cell, direction), order)| Case::new(&[cell], order, [7, 19], direction))
}

/// The distances between rows along time, direction and batch.
type Place = [usize; 3];

/// Calls `copy` for each element of the rows, with its index in a dense time-major tensor and its index in another
/// place.
fn rows(dims: [usize; 3], width: usize, place: Place, mut copy: impl FnMut(usize, usize)) {
    let [time, directions, batch] = dims;
    for t in 0..time {
        for d in 0..directions {
            for b in 0..batch {
                let dense = ((t * directions + d) * batch + b) * width;
                let placed = t * place[0] + d * place[1] + b * place[2];
                (0..width).for_each(|i| copy(dense + i, placed + i));
            }
        }
    }
}

#[test]
fn forward_gives_the_bits_of_the_crate_in_every_layout() {
    const GAP: f32 = 12345.0;
    for case in cases() {
        let Shape { input, hidden, direction } = case.shape;
        let (directions, has_c) = (direction.count(), case.cells[0].has_cell_state());
        let x = numbers(TIME * BATCH * input, 1.0, 7);
        let initial = numbers(directions * BATCH * hidden, 0.5, 8);
        let c_layer = layer(&case.desc());
        for lens in [None, Some(LENS)] {
            let expected = Expected::new(&case, &x, lens.as_ref().map(|lens| &lens[..]), &initial);
            let (w, h) = (input, hidden);
            let wide = directions * h;
            // First the dense layouts by their constants, then PyTorch's concatenated directions and gaps by strides.
            let layouts: [(i32, bool, Place, Place); 4] = [
                (RNNPACK_TIME_MAJOR, false, [BATCH * w, 0, w], [BATCH * wide, BATCH * h, h]),
                (RNNPACK_BATCH_MAJOR, false, [w, 0, TIME * w], [wide, h, TIME * wide]),
                (RNNPACK_TIME_MAJOR, true, [BATCH * w, 0, w], [BATCH * wide, h, wide]),
                (RNNPACK_BATCH_MAJOR, true, [w + 3, 0, 8 * (w + 3)], [wide + 2, h, 9 * (wide + 2)]),
            ];
            for (layout, strided, of_x, of_y) in layouts {
                let reach = |place: Place, width| {
                    (TIME - 1) * place[0] + (directions - 1) * place[1] + (BATCH - 1) * place[2] + width
                };
                let mut placed_x = vec![f32::NAN; if strided { reach(of_x, w) } else { x.len() }];
                rows([TIME, 1, BATCH], w, of_x, |dense, at| placed_x[at] = x[dense]);
                let mut placed_y = vec![GAP; if strided { reach(of_y, h) } else { expected.y.len() }];
                let c_state = state(&c_layer, BATCH);
                let count = initial.len();
                let c_part = if has_c { initial.as_ptr() } else { null() };
                let c_count = if has_c { count } else { 0 };
                ok(c!(rnnpack_state_write(c_state.get(), initial.as_ptr(), count, c_part, c_count)));
                let strides = |place: Place| if strided { place } else { [0; 3] };
                let desc = ForwardDesc {
                    time: TIME,
                    batch: BATCH,
                    layout,
                    x: placed_x.as_ptr(),
                    x_count: placed_x.len(),
                    x_time_stride: strides(of_x)[0],
                    x_batch_stride: strides(of_x)[2],
                    y: placed_y.as_mut_ptr(),
                    y_count: placed_y.len(),
                    y_time_stride: strides(of_y)[0],
                    y_direction_stride: strides(of_y)[1],
                    y_batch_stride: strides(of_y)[2],
                    lens: lens.as_ref().map_or(null(), |lens| lens.as_ptr()),
                    lens_count: lens.map_or(0, |lens| lens.len()),
                    ..zeroed()
                };
                ok(c!(rnnpack_forward(c_layer.get(), c_state.get(), scratch().get(), &desc)));
                let mut y = vec![f32::NAN; expected.y.len()];
                rows([TIME, directions, BATCH], h, of_y, |dense, at| {
                    y[dense] = placed_y[at];
                    placed_y[at] = GAP;
                });
                let what = format!("{:?} {direction} {lens:?} {layout} {strided}", case.cells[0]);
                expected.check(&what, &y, read(&c_state, count, has_c));
                assert!(placed_y.iter().all(|&x| x == GAP), "{what}: wrote between rows");
            }
        }
    }
}

#[test]
fn steps_give_the_bits_of_forward() {
    for case in cases().filter(|case| case.shape.direction == Direction::Forward) {
        let Shape { input, hidden, .. } = case.shape;
        let x = numbers(TIME * BATCH * input, 1.0, 7);
        let expected = Expected::new(&case, &x, None, &vec![0.0; BATCH * hidden]);
        let c_layer = layer(&case.desc());
        let c_state = state(&c_layer, BATCH);
        let mut y = vec![f32::NAN; expected.y.len()];
        for (x, y) in x.chunks(BATCH * input).zip(y.chunks_mut(BATCH * hidden)) {
            ok(c!(rnnpack_step(
                c_layer.get(),
                c_state.get(),
                scratch().get(),
                x.as_ptr(),
                x.len(),
                y.as_mut_ptr(),
                y.len()
            )));
        }
        let state = read(&c_state, BATCH * hidden, case.cells[0].has_cell_state());
        expected.check(&format!("{:?}", case.cells[0]), &y, state);
    }
}

#[test]
fn initial_and_final_states_make_one_shot_calls_also_in_place() {
    for case in cases() {
        let Shape { input, hidden, direction } = case.shape;
        let (count, has_c) = (direction.count() * BATCH * hidden, case.cells[0].has_cell_state());
        let (x, initial) = (numbers(TIME * BATCH * input, 1.0, 7), numbers(count, 0.5, 8));
        let expected = Expected::new(&case, &x, Some(&LENS), &initial);
        let c_layer = layer(&case.desc());
        let c_state = state(&c_layer, BATCH);
        // The call must not read the state's earlier contents.
        let other = numbers(count, 9.0, 9);
        ok(c!(rnnpack_state_write(c_state.get(), other.as_ptr(), count, null(), 0)));
        let (mut h, mut c, mut y) = (initial.clone(), initial.clone(), vec![f32::NAN; expected.y.len()]);
        let desc = ForwardDesc {
            time: TIME,
            batch: BATCH,
            x: x.as_ptr(),
            x_count: x.len(),
            y: y.as_mut_ptr(),
            y_count: y.len(),
            lens: LENS.as_ptr(),
            lens_count: BATCH,
            initial_h: h.as_ptr(),
            final_h: h.as_mut_ptr(),
            h_count: count,
            initial_c: if has_c { c.as_ptr() } else { null() },
            final_c: if has_c { c.as_mut_ptr() } else { null_mut() },
            c_count: count,
            ..zeroed()
        };
        ok(c!(rnnpack_forward(c_layer.get(), c_state.get(), scratch().get(), &desc)));
        let what = format!("{:?} {direction}", case.cells[0]);
        if !has_c {
            c.clear();
        }
        expected.check(&what, &y, [h, c]);
        expected.check(&what, &y, read(&c_state, count, has_c));
    }
}

#[test]
fn directions_may_have_other_activations() {
    let cells = cells();
    let case =
        Case::new(&[cells[2], cells[4]].map(without_clip), GateOrder::Onnx, [3, 9], Direction::Bidirectional);
    let x = numbers(TIME * BATCH * 3, 1.0, 7);
    let expected = Expected::new(&case, &x, None, &vec![0.0; 2 * BATCH * 9]);
    let c_layer = layer(&case.desc());
    let (c_state, mut y) = (state(&c_layer, BATCH), vec![f32::NAN; expected.y.len()]);
    let (x, x_count, y_count) = (x.as_ptr(), x.len(), y.len());
    let desc = ForwardDesc { time: TIME, batch: BATCH, x, x_count, y: y.as_mut_ptr(), y_count, ..zeroed() };
    ok(c!(rnnpack_forward(c_layer.get(), c_state.get(), scratch().get(), &desc)));
    expected.check("two cells", &y, read(&c_state, 2 * BATCH * 9, false));
}

fn without_clip(cell: Cell) -> Cell {
    match cell {
        Cell::Gru(gru) => Cell::Gru(rnnpack::GruCell { clip: None, ..gru }),
        cell => cell,
    }
}

#[test]
fn a_layer_tells_what_it_is() {
    for case in cases() {
        let (c_layer, expected) = (layer(&case.desc()), case.expected());
        let mut info: LayerInfo = zeroed();
        ok(c!(rnnpack_layer_get_info(c_layer.get(), &mut info)));
        let op = ["LSTM", "GRU", "RNN"][info.op as usize];
        let Shape { input, hidden, direction } = case.shape;
        assert_eq!((op, info.direction), (expected.cell().op(), direction as i32));
        assert_eq!((info.directions, info.input, info.hidden), (direction.count(), input, hidden));
        assert_eq!(info.packed_bytes, expected.packed_bytes());
        let state = expected.new_state(1).unwrap();
        assert_eq!([info.layers, info.h_per_row, info.c_per_row], [1, state.h().len(), state.c().len()]);
        // SAFETY: the name is a text that is never freed.
        let isa = unsafe { CStr::from_ptr(info.isa) };
        assert_eq!(isa.to_str().unwrap(), expected.plan().variant.name());
    }
}

#[test]
fn a_layer_is_packed_for_the_instruction_set_that_is_asked_for() {
    let case = Case::lstm(3, 40);
    for variant in rnnpack::Variant::available() {
        let name = CString::new(variant.name()).unwrap();
        let pack = PackDesc { isa: name.as_ptr(), ..zeroed() };
        let c_layer = layer(&LayerDesc { pack: &pack, ..case.desc() });
        let mut info: LayerInfo = zeroed();
        ok(c!(rnnpack_layer_get_info(c_layer.get(), &mut info)));
        // SAFETY: the name is a text that is never freed.
        assert_eq!(unsafe { CStr::from_ptr(info.isa) }, &*name);
    }
}

/// The name and the refusal of a node.
fn texts(info: &NodeInfo) -> [Option<String>; 2] {
    [info.name, info.refusal].map(|text| {
        // SAFETY: the text lasts as long as the file's handle, which the callers keep.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned())
    })
}

#[test]
fn the_nodes_of_a_file_become_layers_by_name() {
    for path in ["silero_vad/silero_vad_16k_op15.onnx", "dtln/model_1.onnx", "gtcrn/gtcrn_simple.onnx"] {
        let bytes = file(&format!("tests/fixtures/{path}"));
        let expected = rnnpack_onnx::File::parse(&bytes).unwrap().into_nodes();
        let path = format!("{}/../tests/fixtures/{path}", env!("CARGO_MANIFEST_DIR"));
        let file = CString::new(path.as_str()).unwrap();
        let mut opened = null_mut();
        ok(c!(rnnpack_onnx_open(file.as_ptr(), &mut opened)));
        let opened = OwnedOnnx(opened);
        let onnx = onnx(&bytes);
        drop(bytes);
        let mut count = 0;
        ok(c!(rnnpack_onnx_count(opened.get(), &mut count)));
        assert_eq!(count, expected.len());
        ok(c!(rnnpack_onnx_count(onnx.get(), &mut count)));
        assert_eq!(count, expected.len());
        for (index, node) in expected.iter().enumerate() {
            let mut info: NodeInfo = zeroed();
            ok(c!(rnnpack_onnx_get_node(onnx.get(), index, &mut info)));
            let [name, refusal] = texts(&info);
            assert_eq!(name.as_ref(), Some(&node.name));
            assert_eq!(refusal, node.refusal().map(ToString::to_string));
            assert_eq!([Some(info.input), Some(info.hidden)], [node.input, node.hidden]);
            assert_eq!(info.direction, node.direction.unwrap() as i32);
            assert_eq!(info.layout, node.layout.unwrap() as i32);
            let mut made = null_mut();
            let status = c!(rnnpack_onnx_layer(onnx.get(), info.name, null(), &mut made));
            if refusal.is_some() {
                assert_eq!((status, made), (RNNPACK_UNSUPPORTED, null_mut()));
                continue;
            }
            ok(status);
            let c_layer = OwnedLayer(made);
            let (layer, c_state) = (node.pack().unwrap(), state(&c_layer, 1));
            let x = numbers(layer.shape().input, 1.0, 3);
            let mut ys = [vec![0.0; layer.shape().output()], vec![0.0; layer.shape().output()]];
            let mut state = layer.new_state(1).unwrap();
            layer.step(&x, &mut state, &mut ys[0], &mut Scratch::new()).unwrap();
            let (y, y_count) = (ys[1].as_mut_ptr(), ys[1].len());
            ok(c!(rnnpack_step(
                c_layer.get(),
                c_state.get(),
                scratch().get(),
                x.as_ptr(),
                x.len(),
                y,
                y_count
            )));
            assert_eq!(bits(&ys[0]), bits(&ys[1]), "{path}: {}", node.name);
        }
    }
}

#[test]
fn a_node_of_doubles_is_refused_by_its_type() {
    let onnx = onnx(&file("fuzz/seeds/onnx_import/lstm_coupled_peepholes_f64.onnx"));
    let mut info: NodeInfo = zeroed();
    ok(c!(rnnpack_onnx_get_node(onnx.get(), 0, &mut info)));
    let refusal = texts(&info)[1].clone().unwrap();
    assert!(refusal.contains("f64"), "{refusal}");
    let mut made = null_mut();
    assert_eq!(c!(rnnpack_onnx_layer(onnx.get(), info.name, null(), &mut made)), RNNPACK_UNSUPPORTED);
    assert_eq!(message(), refusal);
}

#[test]
fn one_scratch_serves_layers_of_all_sizes_in_turn() {
    let scratch = scratch();
    for (i, case) in cases().enumerate() {
        let Shape { input, hidden, direction } = case.shape;
        let batch = 1 + i % 4;
        let x = numbers(batch * input, 1.0, 7);
        let (c_layer, expected) = (layer(&case.desc()), case.expected());
        let (c_state, mut state) = (state(&c_layer, batch), expected.new_state(batch).unwrap());
        let mut ys =
            [vec![0.0; direction.count() * batch * hidden], vec![0.0; direction.count() * batch * hidden]];
        expected.step(&x, &mut state, &mut ys[0], &mut Scratch::new()).unwrap();
        let (y, y_count) = (ys[1].as_mut_ptr(), ys[1].len());
        ok(c!(rnnpack_step(c_layer.get(), c_state.get(), scratch.get(), x.as_ptr(), x.len(), y, y_count)));
        assert_eq!(bits(&ys[0]), bits(&ys[1]));
    }
}

#[test]
fn packed_bytes_are_those_of_the_crate_and_become_the_same_layer_in_place_and_from_a_file() {
    for case in cases() {
        let (made, expected) = (layer(&case.desc()), case.expected());
        let (bytes, count) = (packed(&made), info(&made).bytes_count);
        assert_eq!(bytes.0[..count], expected.to_bytes().unwrap());
        let path = std::env::temp_dir().join(format!("rnnpack-agreement-{}", std::process::id()));
        std::fs::write(&path, &bytes.0[..count]).unwrap();
        let name = CString::new(path.to_str().unwrap()).unwrap();
        let [mut in_place, mut opened] = [null_mut(); 2];
        ok(c!(rnnpack_layer_in_place(bytes.0.as_ptr().cast(), count, &mut in_place)));
        ok(c!(rnnpack_layer_open(name.as_ptr(), &mut opened)));
        std::fs::remove_file(path).unwrap();
        let [in_place, opened] = [in_place, opened].map(OwnedLayer);
        for other in [&in_place, &opened] {
            assert_eq!(packed(other).0, bytes.0);
            let (mine, its) = (info(&made), info(other));
            assert_eq!([mine.op, mine.direction], [its.op, its.direction]);
            assert_eq!(
                [mine.input, mine.hidden, mine.packed_bytes],
                [its.input, its.hidden, its.packed_bytes]
            );
            assert_eq!(mine.isa, its.isa);
        }
        let Shape { input, hidden, direction } = case.shape;
        let (x, scratch) = (numbers(input, 1.0, 7), scratch());
        let ys = [&made, &in_place, &opened].map(|layer| {
            let (state, mut y) = (state(layer, 1), vec![0.0; direction.count() * hidden]);
            let (at_x, at_y) = (x.as_ptr(), y.as_mut_ptr());
            ok(c!(rnnpack_step(layer.get(), state.get(), scratch.get(), at_x, x.len(), at_y, y.len())));
            bits(&y)
        });
        assert!(ys[0] == ys[1] && ys[0] == ys[2]);
    }
}

#[test]
fn subnormals_are_kept_or_flushed_as_by_the_crate() {
    let (input, hidden) = (5, 20);
    let (mut w, mut r) = (numbers(4 * hidden * input, 0.3, 1), numbers(4 * hidden * hidden, 0.3, 2));
    w[7] = 1e-40;
    r[3..6].fill(-1e-41);
    // Subnormal inputs alone: the results are subnormal too, or zero.
    let x: Vec<f32> = (0..TIME * input).map(|i| [1e-40, 1e-38, -1e-45][i % 3]).collect();
    let initial = vec![1e-39; hidden];
    let mut results = Vec::new();
    for (subnormals, choice) in
        [rnnpack::Subnormals::Keep, rnnpack::Subnormals::FlushWeights, rnnpack::Subnormals::Flush]
            .into_iter()
            .zip(0..)
    {
        let expected =
            rnnpack::LayerWeights::lstm(input, hidden).w(&w).r(&r).subnormals(subnormals).pack().unwrap();
        let mut state = expected.new_state(1).unwrap();
        state.h_mut().copy_from_slice(&initial);
        let mut y = vec![0.0; TIME * hidden];
        expected.forward(Sequence::dense(&x, &mut y), &mut state, &mut Scratch::new()).unwrap();

        let pack = PackDesc { subnormals: choice, ..zeroed() };
        let desc = LayerDesc {
            input,
            hidden,
            w: w.as_ptr(),
            w_count: w.len(),
            r: r.as_ptr(),
            r_count: r.len(),
            pack: &pack,
            ..zeroed()
        };
        let c_layer = layer(&desc);
        assert_eq!(
            (info(&c_layer).subnormals, info(&c_layer).flushed_weights),
            (choice, [0, 4, 4][choice as usize])
        );
        let (c_state, mut c_y) = (support::state(&c_layer, 1), vec![0.0; TIME * hidden]);
        let (x, x_count, y_count) = (x.as_ptr(), x.len(), c_y.len());
        let (initial_h, h_count) = (initial.as_ptr(), hidden);
        let call = ForwardDesc { time: TIME, batch: 1, x, x_count, y_count, initial_h, h_count, ..zeroed() };
        let call = ForwardDesc { y: c_y.as_mut_ptr(), ..call };
        ok(c!(rnnpack_forward(c_layer.get(), c_state.get(), scratch().get(), &call)));
        assert_eq!(bits(&c_y), bits(&y), "{subnormals:?}");
        results.push(read(&c_state, hidden, true).map(|part| bits(&part)));
    }
    assert!(results[0] != results[2], "the inputs do not show whether subnormals are flushed");
}
