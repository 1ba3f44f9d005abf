//! Tests that packed bytes have the codes and sizes that docs/embedded.md says, and that a version keeps its bytes.

use crate::reader::{passes, word};
use crate::{case, pack};
use rnnpack::bytes::VERSION;
use rnnpack::{Activation, Cell, Direction, LayerScales, Scale, Shape, Target, Variant, WeightType};
use rnnpack_dev::forms::forms;
use rnnpack_dev::{Case, Contents};

/// A section of docs/embedded.md: the rows of the table whose heading starts with `start`.
#[track_caller]
fn table(start: &str) -> Vec<&'static str> {
    let table = include_str!("../../docs/embedded.md").split_once(start).unwrap().1;
    table.lines().skip(2).take_while(|line| line.starts_with('|')).collect()
}

/// A case whose last group of k is not full, for every type.
fn of_type(cell: Cell, weights: WeightType) -> Case {
    let shape = Shape { input: 5, hidden: 6, direction: Direction::Bidirectional };
    Case { shape, weights, ..case(cell) }
}

/// The checksum of the layer as its file has it, with given scales and zero points.
fn checksum_with_scales(cell: Cell) -> u32 {
    let case = of_type(cell, WeightType::F32);
    let mut contents = case.contents();
    let (scale, points) = (1.0 / 64.0, [[3, -4], [0, 100]]);
    for (weights, points) in [&mut contents.w, &mut contents.r].into_iter().zip(points) {
        let half = weights.len() / 2;
        for (i, weight) in weights.iter_mut().enumerate() {
            let scale = Scale { scale, zero_point: points[i / half] };
            *weight = scale.weight((i % 256) as i32 - 128);
        }
    }
    let scales = vec![scale; 2 * cell.gates() * 6];
    let [w, r] = points;
    let scales = LayerScales { w: &scales, r: &scales, w_zero_points: &w, r_zero_points: &r };
    let weights = contents.weights().with_scales(scales).unwrap();
    word(&weights.to_bytes(Target::by_name("portable").unwrap()).unwrap(), 24)
}

/// A change of the format needs a new version. These checksums are those of version 4, for all forms of a cell.
#[test]
fn version_4_has_these_bytes() {
    let of = |weights| forms().map(|cell| word(&pack(&of_type(cell, weights)), 24));
    let checksums: Vec<[u32; 5]> =
        WeightType::ALL.into_iter().map(of).chain([forms().map(checksum_with_scales)]).collect();
    if cfg!(target_endian = "little") {
        assert_eq!((VERSION, checksums.as_slice()), (4, &CHECKSUMS[..]));
    }
}

/// For every type in the order of `WeightType::ALL`, and for int8 with given scales.
const CHECKSUMS: [[u32; 5]; 6] = [
    [3631610705, 3709183889, 1141402610, 1502506131, 160945004],
    [632393827, 2328785542, 3910368821, 2871808210, 3460300371],
    [2224389583, 3419813449, 905345522, 1839966624, 406505252],
    [598741406, 335995144, 3842738024, 405572923, 663382473],
    [4202800919, 1517864319, 908282177, 3997189293, 3305754382],
    [504223764, 1177894018, 2869947823, 1513148399, 272674797],
];

#[test]
fn the_header_has_the_documented_code_of_each_type() {
    let rows = table("| code | type |");
    assert_eq!(rows.len(), WeightType::ALL.len());
    for (row, weights) in rows.iter().zip(WeightType::ALL) {
        let code = word(&pack(&of_type(Cell::lstm(), weights)), 48) >> 16;
        assert!(
            row.starts_with(&format!(
                "| {code} | {} | {} | {} |",
                weights.name(),
                weights.bytes(),
                weights.group()
            )),
            "{row}"
        );
    }
}

/// The bytes that a direction needs: docs/embedded.md says of what.
fn minimum(contents: &Contents) -> usize {
    let Shape { input, hidden, .. } = contents.shape;
    let cell = &contents.cells[0];
    let gates: usize = passes(cell).iter().map(|(gates, _)| gates.len()).sum();
    let integers = if contents.weights == WeightType::I8 { 2 * (4 + 4) } else { 0 };
    let apart = matches!(cell, Cell::Gru(cell) if cell.linear_before_reset);
    let rows = gates * (contents.weights.bytes() * (input + hidden) + 4 + integers);
    hidden * (rows + if apart { 4 } else { 0 } + if contents.p.is_some() { 3 * 4 } else { 0 })
}

/// The largest size beyond what a layer needs, relative to it, of all instruction sets.
fn more_than_needed(contents: &Contents) -> f64 {
    let weights = contents.weights();
    let minimum = minimum(contents);
    let more = Variant::COMPILED.iter().map(|name| {
        let bytes = weights.to_bytes(Target::by_name(name).unwrap()).unwrap().len();
        assert!(bytes > minimum, "less than what a layer needs");
        bytes as f64 / minimum as f64 - 1.0
    });
    more.fold(0.0, f64::max)
}

#[test]
fn packed_bytes_are_within_three_percent_of_what_a_layer_needs() {
    let sizes = [(40, 128), (128, 128), (256, 256), (64, 512)];
    for (cell, (input, hidden)) in forms().into_iter().flat_map(|cell| sizes.map(|size| (cell, size))) {
        let shape = Shape { input, hidden, direction: Direction::Forward };
        let case = Case { peepholes: hidden == 256, ..Case::new(cell, shape, 1, 1, 0) };
        let mut contents = case.contents();
        for weights in WeightType::ALL {
            contents.weights = weights;
            let more = more_than_needed(&contents);
            assert!(more < 0.03, "{cell:?}, {weights:?}, {shape:?}: {more}");
        }
    }
}

/// The cell that docs/embedded.md calls `name`.
#[cfg(target_arch = "x86_64")]
fn cell_named(name: &str) -> Cell {
    match name {
        "LSTM" => Cell::lstm(),
        "GRU, `linear_before_reset` = 1" => Cell::gru(true),
        "GRU, `linear_before_reset` = 0" => Cell::gru(false),
        "RNN" => Cell::rnn(Activation::Tanh),
        other => panic!("{other} is no cell"),
    }
}

/// The row of a layer in the table of docs/embedded.md.
#[cfg(target_arch = "x86_64")]
fn cost(name: &str, [input, hidden]: [usize; 2]) -> String {
    let shape = Shape { input, hidden, direction: Direction::Forward };
    let contents = Case::new(cell_named(name), shape, 1, 1, 0).contents();
    let file = |isa| contents.weights().to_bytes(Target::by_name(isa).expect("all of x86-64")).unwrap().len();
    let layer = contents.layer(Variant::by_name("portable").unwrap());
    let (state, scratch) = (layer.new_state(1).unwrap().bytes(), layer.scratch_bytes(1, 1).unwrap());
    let [four, eight, sixteen] = ["portable", "avx2", "avx512"].map(file);
    format!("| {name} | {input} | {hidden} | {four} | {eight} | {sixteen} | {state} | {scratch} |")
}

/// The row of a layer in the table of types of weights.
#[cfg(target_arch = "x86_64")]
fn cost_of_types(name: &str, [input, hidden]: [usize; 2]) -> String {
    let shape = Shape { input, hidden, direction: Direction::Forward };
    let contents = Case::new(cell_named(name), shape, 1, 1, 0).contents();
    let file = |weights| {
        let weights = contents.weights().with_type(weights).unwrap();
        weights.to_bytes(Target::by_name("portable").unwrap()).unwrap().len()
    };
    let [wide, bf16, f16, int8] =
        [WeightType::F32, WeightType::Bf16, WeightType::F16, WeightType::I8].map(file);
    assert_eq!(bf16, f16);
    format!("| {name} | {input} | {hidden} | {wide} | {f16} | {int8} |")
}

/// Checks each row of the table of docs/embedded.md whose heading starts with `start`.
#[cfg(target_arch = "x86_64")]
#[track_caller]
fn check_table(start: &str, count: usize, right: fn(&str, [usize; 2]) -> String) {
    let rows = table(start);
    assert_eq!(rows.len(), count);
    let right = rows.iter().map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let size = |at: usize| cells[at].parse().unwrap();
        right(cells[1], [size(2), size(3)])
    });
    assert_eq!(rows.join("\n"), right.collect::<Vec<_>>().join("\n"));
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_tables_of_costs_are_what_layers_cost() {
    check_table("| cell | I | H |", 9, cost);
    check_table("| cell of the file | I | H |", 7, cost_of_types);
}
