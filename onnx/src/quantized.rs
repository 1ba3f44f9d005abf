//! Weights that a file stores as integers of 8 bits: as numbers in LSTM's order, and the scales of their rows.

use crate::error::Error;
use crate::spec::NodeSpec;
use crate::tensor::{DType, Tensor, TensorData};
use crate::weight::Weight;
use rnnpack::LayerScales;
use std::sync::Arc;

/// The scales of W and R.
#[derive(Debug, Clone)]
pub(crate) struct Quantized {
    w: Scales,
    r: Scales,
}

/// The scales of a matrix.
#[derive(Debug, Clone)]
struct Scales {
    /// `[D, rows]`
    rows: Vec<f32>,
    /// The integer of 0 in each direction, as an i8.
    zero_points: Vec<i32>,
}

impl Quantized {
    /// The scales of numbers that are integers of 8 bits times a scale of their row, as those behind `DequantizeLinear` are.
    /// `None` if they are not. `w` and `r` are `[D, rows, columns]`.
    pub(crate) fn of_numbers(w: &Tensor, r: &Tensor) -> Option<Quantized> {
        Some(Quantized { w: Scales::of_numbers(w)?, r: Scales::of_numbers(r)? })
    }

    pub(crate) fn view(&self) -> LayerScales<'_> {
        let Quantized { w, r } = self;
        LayerScales { w: &w.rows, r: &r.rows, w_zero_points: &w.zero_points, r_zero_points: &r.zero_points }
    }
}

impl Scales {
    fn of_numbers(numbers: &Tensor) -> Option<Scales> {
        let (&[directions, rows, columns], values) = (numbers.dims(), numbers.as_slice::<f32>()?) else {
            return None;
        };
        let (mut scales, mut ranges) = (Vec::new(), Vec::new());
        let mut looks = LOOKS.0.saturating_mul(values.len());
        for d in 0..directions {
            let (mut low, mut high) = (0, 0);
            for row in d * rows..(d + 1) * rows {
                let row = &values[row * columns..][..columns];
                looks = looks.saturating_add(LOOKS.1);
                let scale = scale_of(row, &mut looks)?;
                let integers = row.iter().map(|number| (number / scale).round_ties_even() as i32);
                (low, high) = integers.fold((low, high), |(low, high), i| (low.min(i), high.max(i)));
                scales.push(scale);
            }
            ranges.push((low, high));
        }
        let all = ranges.iter().fold((0, 0), |all, of| (of.0.min(all.0), of.1.max(all.1)));
        let zero_points = match zero_point(all) {
            Some(of_all) => vec![of_all; directions],
            None => ranges.into_iter().map(zero_point).collect::<Option<_>>()?,
        };
        Some(Scales { rows: scales, zero_points })
    }
}

/// The integer of 0 with which integers of this range, in which 0 is, are an i8.
fn zero_point((low, high): (i32, i32)) -> Option<i32> {
    match (low, high) {
        (-128.., ..=127) => Some(0),
        _ => (high - low <= 255).then_some(-128 - low),
    }
}

/// How often numbers are divided by a candidate to find the scales of a matrix: so often for each number, and for each row.
/// A row of integers takes few of them: a wrong candidate fails at its first numbers, or at the number at which the one
/// before failed. A matrix that takes more counts as one that has no scales.
const LOOKS: (usize, usize) = (64, 1024);

/// The largest scale of which all numbers are multiples by integers up to ±255.
///
/// The smallest of them that is not 0 is the rounded product of the scale and an integer. So the scale is at most one place
/// from their rounded quotient. `looks` is how many divisions may be made; it counts down.
fn scale_of(row: &[f32], looks: &mut usize) -> Option<f32> {
    let magnitudes = row.iter().map(|number| number.abs()).filter(|&number| number > 0.0);
    let Some(smallest) = magnitudes.reduce(f32::min) else { return Some(1.0) };
    let near = |quotient: f32| [quotient, quotient.next_up(), quotient.next_down()];
    let candidates = (1..=255u8).flat_map(|integer| near(smallest / f32::from(integer)));
    // The number that was no multiple of the last candidate.
    let mut odd = 0;
    for scale in candidates.filter(|&scale| scale > 0.0) {
        let is_multiple = |&number: &f32| {
            let integer = (number / scale).round_ties_even();
            integer.abs() <= 255.0 && integer * scale == number
        };
        *looks = looks.checked_sub(1)?;
        if !is_multiple(&row[odd]) {
            continue;
        }
        let Some(other) = row.iter().position(|number| !is_multiple(number)) else { return Some(scale) };
        *looks = looks.checked_sub(other)?;
        odd = other;
    }
    None
}

/// W and R of a node of `DynamicQuantizeLSTM` as numbers, `[D, 4·H, I]` and `[D, 4·H, H]`, and their scales. The
/// dimensions and the element types must be right.
pub(crate) fn read(
    spec: &NodeSpec,
    weights: [Option<&Weight>; 8],
) -> Result<([Arc<Tensor>; 2], Quantized), Error> {
    let [w, r, _, _, w_scale, w_zero_point, r_scale, r_zero_point] = weights;
    let (w, of_w) = matrix(spec, ["W", "W_scale", "W_zero_point"], [w, w_scale, w_zero_point])?;
    let (r, of_r) = matrix(spec, ["R", "R_scale", "R_zero_point"], [r, r_scale, r_zero_point])?;
    Ok(([w, r], Quantized { w: of_w, r: of_r }))
}

/// A stored matrix `[D, columns, rows]` as numbers `[D, rows, columns]`: `scale * (integer - zero point)`.
fn matrix(
    spec: &NodeSpec,
    names: [&str; 3],
    tensors: [Option<&Weight>; 3],
) -> Result<(Arc<Tensor>, Scales), Error> {
    let [Some(matrix), Some(scale), Some(zero_point)] = tensors else {
        let missing = tensors.iter().position(Option::is_none).unwrap_or_default();
        return Err(spec.bad_input(names[missing], "it is missing"));
    };
    let &[directions, columns, rows] = matrix.dims() else {
        return Err(spec.bad_input(names[0], "it has not 3 dimensions"));
    };
    let scales = Scales {
        rows: scales(scale.tensor(), rows).map_err(|reason| spec.bad_input(names[1], &reason))?,
        zero_points: zero_points(zero_point.tensor()).map_err(|reason| spec.bad_input(names[2], &reason))?,
    };
    let integers = matrix.tensor();
    let mut numbers = Vec::with_capacity(integers.data().len());
    for d in 0..directions {
        for row in 0..rows {
            let scale = scales.rows[d * rows + row];
            let index = |column: usize| (d * columns + column) * rows + row;
            let number = |column| scale * (signed(integers, index(column)) - scales.zero_points[d]) as f32;
            numbers.extend((0..columns).map(number));
            let added = &numbers[numbers.len() - columns..];
            if let Some(column) = added.iter().position(|number| !number.is_finite()) {
                let reason = format!("element {} times the scale {scale} is infinite", index(column));
                return Err(spec.bad_input(names[0], &reason));
            }
        }
    }
    let numbers = Tensor::new(&[directions, rows, columns], numbers);
    Ok((Arc::new(numbers.map_err(|e| spec.bad_input(names[0], &e.to_string()))?), scales))
}

/// An integer of 8 bits as an i8. Those without a sign lose 128, as their zero points do.
fn signed(tensor: &Tensor, index: usize) -> i32 {
    match tensor.data() {
        TensorData::I8(v) => v[index].into(),
        TensorData::U8(v) => i32::from(v[index]) - 128,
        _ => 0,
    }
}

/// The scales of all rows, from one for each direction or for each row.
fn scales(given: &Tensor, rows: usize) -> Result<Vec<f32>, String> {
    let values = given.as_slice::<f32>().unwrap_or_default();
    if let Some(index) = values.iter().position(|&scale| !(scale > 0.0 && scale.is_finite())) {
        return Err(format!("element {index} is {}, which is no scale: it must be positive", values[index]));
    }
    let times = if given.dims().len() == 1 { rows } else { 1 };
    Ok(values.iter().flat_map(|&scale| std::iter::repeat_n(scale, times)).collect())
}

/// The zero point of each direction. Those of rows must be 0 if they have a sign, and else equal to each other, as ONNX
/// Runtime demands.
fn zero_points(given: &Tensor) -> Result<Vec<i32>, String> {
    let count = given.data().len();
    let &[directions, rows] = given.dims() else {
        return Ok((0..count).map(|d| signed(given, d)).collect());
    };
    let mut of_directions = Vec::with_capacity(directions);
    for d in 0..directions {
        let of_rows = |row: usize| signed(given, d * rows + row);
        let (first, what) = match given.dtype() {
            DType::I8 => (0, "must be 0"),
            _ => (of_rows(0), "must be equal"),
        };
        if let Some(row) = (0..rows).find(|&row| of_rows(row) != first) {
            return Err(format!("element {} is another: those of columns {what}", d * rows + row));
        }
        of_directions.push(first);
    }
    Ok(of_directions)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many divisions find the scale of a row, and whether they do.
    fn looks(row: &[f32]) -> (usize, bool) {
        let most = LOOKS.0 * row.len() + LOOKS.1;
        let mut left = most;
        let found = scale_of(row, &mut left);
        (most - left, found.is_some())
    }

    #[test]
    fn a_number_that_no_candidate_holds_is_not_searched_again_for_each() {
        // Only the 254th part of the smallest number is a scale, and the last number alone tells.
        let mut row = vec![254.0; 10_000];
        row.push(255.0);
        // The first candidate is divided into all numbers, the others into that one.
        let few = row.len()..row.len() + 1000;
        let found = looks(&row);
        assert!(few.contains(&found.0) && found.1, "{found:?}");
        *row.last_mut().unwrap() = 254.0 * 1.001;
        let found = looks(&row);
        assert!(few.contains(&found.0) && !found.1, "{found:?}");
    }

    #[test]
    fn a_search_for_a_scale_ends_after_a_fixed_number_of_divisions_for_each_number() {
        let row: Vec<f32> = (0..1000).map(|i| 200.0 + (i % 50) as f32).collect();
        let (needed, found) = looks(&row);
        assert!(found);
        assert!(scale_of(&row, &mut { needed }).is_some());
        assert!(scale_of(&row, &mut { needed - 1 }).is_none());
    }
}
