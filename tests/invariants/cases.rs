//! Strategies for made-up calls of made-up layers.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use rnnpack::{Cell, Direction, Shape, WeightType};
use rnnpack_dev::Case;
use rnnpack_dev::forms::forms;
use rnnpack_dev::options::{activations, cells, is_bounded, parameters};
use rnnpack_dev::placement::Placement;

/// Sizes around the lane widths, primes, several panels, and anything up to 70.
pub(crate) fn hidden_sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        3 => select(vec![1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65]),
        1 => 1..=70usize,
    ]
}

/// Every type of weights. Those of 16 bits run the code of f32, but for the loads.
fn weight_types() -> impl Strategy<Value = WeightType> {
    prop_oneof![
        2 => Just(WeightType::F32),
        1 => select(vec![WeightType::Bf16, WeightType::F16]),
        2 => Just(WeightType::I8),
    ]
}

fn lens() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        Just(None),
        vec(any::<u8>(), 20).prop_map(Some),
        // All lengths differ, as long as there are no more rows than different lengths.
        (0..13u8).prop_map(|first| Some((first..first + 20).collect())),
    ]
}

/// The forms with default activations, the same in both directions. The kernels have special instances for them.
pub(crate) fn plain_cells() -> impl Strategy<Value = [Cell; 2]> {
    select(forms().to_vec()).prop_map(|cell| [cell; 2])
}

/// Plain cells, and as often cells with any options.
pub(crate) fn any_cells() -> impl Strategy<Value = [Cell; 2]> {
    prop_oneof![plain_cells(), cells(activations(parameters()))]
}

/// The scales to choose from. With large pre-activations, unbounded activations overflow after a few steps: one case
/// in eight.
fn scales(cells: [Cell; 2]) -> &'static [f32] {
    if cells.iter().all(is_bounded) {
        &[0.1, 1.0, 4.0, 60.0]
    } else {
        &[0.1, 0.1, 0.1, 1.0, 1.0, 1.0, 1.0, 4.0]
    }
}

/// Calls of layers with these cells and directions.
pub(crate) fn cases_of(
    cells: impl Strategy<Value = [Cell; 2]>,
    direction: impl Strategy<Value = Direction>,
) -> impl Strategy<Value = Case> {
    let sizes = (prop_oneof![1 => Just(0), 9 => hidden_sizes()], hidden_sizes(), direction);
    let extents = (0..=12usize, 0..=20usize, lens());
    let flags = (any::<bool>(), prop::bool::weighted(0.3), any::<bool>());
    let contents = (flags, any::<Index>(), any::<u64>(), weight_types());
    (cells, sizes, extents, contents).prop_map(|(cells, sizes, (time, batch, lens), contents)| {
        let (input, hidden, direction) = sizes;
        let ((bias, peepholes, initial), scale, seed, weights) = contents;
        let shape = Shape { input, hidden, direction };
        let within = |len: &u8| (*len as usize % (time + 1)) as i32;
        let lens = lens.map(|lens| lens[..batch].iter().map(within).collect());
        let scale = *scale.get(scales(cells));
        Case { cells, shape, time, batch, bias, peepholes, initial, lens, scale, weights, seed }
    })
}

pub(crate) fn any_direction() -> impl Strategy<Value = Direction> {
    select(vec![Direction::Forward, Direction::Reverse, Direction::Bidirectional])
}

pub(crate) fn one_way() -> impl Strategy<Value = Direction> {
    select(vec![Direction::Forward, Direction::Reverse])
}

pub(crate) fn cases() -> impl Strategy<Value = Case> {
    cases_of(any_cells(), any_direction())
}

pub(crate) fn one_way_cases() -> impl Strategy<Value = Case> {
    cases_of(any_cells(), one_way())
}

pub(crate) fn placements() -> impl Strategy<Value = Placement> {
    (Just([0, 1, 2]).prop_shuffle(), [0..4usize, 0..4, 0..4])
        .prop_map(|(nesting, gaps)| Placement { nesting, gaps })
}
