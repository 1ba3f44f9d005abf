//! Tests that everything in packed bytes stands where docs/embedded.md says, with a reader of its own.

use rnnpack::{Cell, Direction, Scale, Shape, Target, Variant, WeightType};
use rnnpack_dev::Case;
use rnnpack_dev::forms::forms;
use rnnpack_kernels::Weights;

pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..][..4].try_into().unwrap())
}

/// The passes of a cell: the gates, in ONNX's order, and the vectors of units of each.
pub(crate) fn passes(cell: &Cell) -> Vec<(&'static [usize], usize)> {
    match cell {
        Cell::Lstm(cell) if cell.input_forget => vec![(&[0, 1, 3], 1)],
        Cell::Lstm(_) => vec![(&[0, 1, 2, 3], 1)],
        Cell::Gru(cell) if cell.linear_before_reset => vec![(&[0, 1, 2], 1)],
        Cell::Gru(_) => vec![(&[0, 1], 2), (&[2], 4)],
        Cell::Rnn(_) => vec![(&[0], 4)],
    }
}

/// Takes a section off the bytes.
fn section<'a>(bytes: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (section, rest) = bytes.split_at(len.next_multiple_of(64));
    *bytes = rest;
    &section[..len]
}

/// A stored number, as the bits of its type say.
fn number(weights: WeightType, bytes: &[u8]) -> f32 {
    match (weights, bytes) {
        (WeightType::F32, &[a, b, c, d]) => f32::from_ne_bytes([a, b, c, d]),
        (WeightType::Bf16 | WeightType::Bf16Dot, &[a, b]) => {
            f32::from_bits(u32::from(u16::from_ne_bytes([a, b])) << 16)
        }
        (WeightType::F16, &[a, b]) => {
            let bits = i32::from(u16::from_ne_bytes([a, b]));
            let (exponent, fraction) = (bits >> 10 & 0x1f, bits & 0x3ff);
            let (significand, exponent) =
                if exponent == 0 { (fraction, 1) } else { (fraction + 0x400, exponent) };
            let magnitude = significand as f32 * 2f32.powi(exponent - 25);
            if bits >> 15 == 1 { -magnitude } else { magnitude }
        }
        (WeightType::I8, &[a]) => f32::from(a as i8),
        other => panic!("no number: {other:?}"),
    }
}

/// The sections of one matrix of a pass, and where they have a gate of a unit.
struct Matrix<'a> {
    type_: WeightType,
    weights: &'a [u8],
    scales: &'a [u8],
    depth: usize,
}

impl Matrix<'_> {
    /// Compares a row with what is stored: its numbers; of int8, its integers, its scale and the sum of its integers. The rest of
    /// the last group is zero.
    fn check(&self, place: impl Fn(usize, usize) -> usize, scale: impl Fn() -> Scale, row: &[f32]) {
        let (group, bytes, integers) = (self.type_.group(), self.type_.bytes(), self.type_ == WeightType::I8);
        let expected = |&weight: &f32| match integers {
            true => scale().integer(weight) as f32,
            false => self.type_.rounded(weight),
        };
        let groups = self.depth.div_ceil(group);
        let rest = groups * group - self.depth;
        for (k, weight) in row.iter().map(expected).chain(std::iter::repeat_n(0.0, rest)).enumerate() {
            let at = (group * place(groups, k / group) + k % group) * bytes;
            assert_eq!(number(self.type_, &self.weights[at..][..bytes]), weight, "{:?}, k = {k}", self.type_);
        }
        if integers {
            assert_eq!(word(self.scales, 4 * place(2, 0)), scale().scale.to_bits());
            let sum: i32 = row.iter().map(|&weight| scale().integer(weight)).sum();
            assert_eq!(word(self.scales, 4 * place(2, 1)) as i32, sum);
        }
    }
}

/// Reads the constants of a layer: three rows of peepholes, or the bias of R that a GRU keeps apart.
fn check_constants(weights: &Weights<'_>, lanes: usize, mut bytes: &[u8]) {
    let (hidden, cell) = (weights.hidden(), weights.cell());
    let padded = passes(cell).iter().map(|(_, units)| hidden.next_multiple_of(units * lanes)).max();
    let row = 4 * padded.unwrap();
    let apart = matches!(cell, Cell::Gru(cell) if cell.linear_before_reset);
    let rows = if weights.peepholes(0).is_some() { 3 } else { usize::from(apart) };
    let constants = section(&mut bytes, rows * row);
    assert!(bytes.is_empty(), "{} bytes behind the constants", bytes.len());
    for (unit, row_index) in (0..hidden).flat_map(|unit| (0..rows).map(move |row| (unit, row))) {
        let expected = weights.peepholes(unit).map_or(weights.rb(2, unit), |p| p[row_index]);
        assert_eq!(word(constants, row_index * row + 4 * unit), expected.to_bits());
    }
}

/// Reads a layer as docs/embedded.md says.
fn check_layer(weights: &Weights<'_>, lanes: usize, mut bytes: &[u8]) {
    let (input, hidden, type_) = (weights.input(), weights.hidden(), weights.weight_type());
    let scales = if type_ == WeightType::I8 { 2 * 4 } else { 0 };
    for (gates, units) in passes(weights.cell()) {
        let vectors = gates.len() * units;
        let lanes_of_pass = hidden.div_ceil(units * lanes) * vectors * lanes;
        let [w, r] = [input, hidden].map(|depth| {
            section(&mut bytes, depth.next_multiple_of(type_.group()) * type_.bytes() * lanes_of_pass)
        });
        let bias = section(&mut bytes, 4 * lanes_of_pass);
        let [of_w, of_r] = [(); 2].map(|()| section(&mut bytes, scales * lanes_of_pass));
        let [w, r] = [(w, of_w, input), (r, of_r, hidden)].map(|(weights, scales, depth)| Matrix {
            type_,
            weights,
            scales,
            depth,
        });
        for (unit, (index, &gate)) in (0..hidden).flat_map(|u| gates.iter().enumerate().map(move |g| (u, g)))
        {
            let place = |groups: usize, group: usize| {
                let (panel, vector) = (unit / lanes / units, index * units + unit / lanes % units);
                ((panel * groups + group) * vectors + vector) * lanes + unit % lanes
            };
            w.check(place, || weights.w_scale(gate, unit), weights.w_row(gate, unit));
            r.check(place, || weights.r_scale(gate, unit), weights.r_row(gate, unit));
            let apart = gate == 2 && matches!(weights.cell(), Cell::Gru(cell) if cell.linear_before_reset);
            let rb = if apart { 0.0 } else { weights.rb(gate, unit) };
            assert_eq!(word(bias, 4 * place(1, 0)), (weights.wb(gate, unit) + rb).to_bits());
        }
    }
    check_constants(weights, lanes, bytes);
}

#[test]
fn numbers_scales_sums_biases_and_constants_stand_where_the_documentation_says() {
    for (cell, name) in
        forms().into_iter().flat_map(|cell| Variant::COMPILED.iter().map(move |&name| (cell, name)))
    {
        for (weights, peepholes) in WeightType::ALL.into_iter().flat_map(|w| [(w, false), (w, true)]) {
            let shape = Shape { input: 7, hidden: 37, direction: Direction::Forward };
            let case = Case { weights, peepholes, ..Case::new(cell, shape, 1, 1, 3) };
            let (contents, target) = (case.contents(), Target::by_name(name).unwrap());
            let weights = contents.weights();
            let bytes = weights.to_bytes(target).unwrap();
            check_layer(&weights.directions()[0], target.lanes(), &bytes[2 * 64..]);
        }
    }
}
