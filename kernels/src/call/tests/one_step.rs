//! Tests of the call of one step against a call of a sequence of one step, and of what it refuses.

use super::super::{OneStep, forward, step};
use super::{Case, cells};
use crate::cell::Cell;
use crate::error::Error;
use crate::isa::Variant;
use crate::packed::PackedWeights;
use crate::scratch::Scratch;
use crate::stop::Stop;

impl Case {
    fn one_step(&mut self, rows: usize, with_y: bool) -> OneStep<'_> {
        let Case { x, y, h, c, batch, .. } = self;
        OneStep { batch: *batch, x, y: with_y.then_some(y), h, c, rows }
    }
}

#[test]
fn one_step_has_the_bits_of_a_sequence_of_one_step() {
    for (cell, variant) in cells().into_iter().flat_map(|cell| Variant::available().map(move |v| (cell, v))) {
        let mut scratch = Scratch::new();
        for (hidden, batch) in [(1, 1), (8, 1), (16, 3), (17, 7), (64, 2), (65, 20), (3, 0)] {
            let case = Case::new(cell, [5, hidden], [1, batch]);
            let packed = PackedWeights::new(variant, &case.weights()).unwrap();
            let mut sequence = case.clone();
            forward(&packed, sequence.call(1), &mut Scratch::new()).unwrap();
            // Blocks of all rows, of some and of one; the scratch is that of other sizes.
            for rows in [batch, 3, 1, 0] {
                let mut alone = case.clone();
                step(&packed, alone.one_step(rows, true), &mut scratch).unwrap();
                let place = format!("{variant}, {cell:?}, H = {hidden}, B = {batch}, blocks of {rows}");
                assert_eq!(alone.results(), sequence.results(), "{place}");
                let mut without_y = case.clone();
                step(&packed, without_y.one_step(rows, false), &mut scratch).unwrap();
                assert_eq!((&without_y.h, &without_y.c), (&alone.h, &alone.c), "{place}");
            }
        }
    }
}

#[test]
fn one_step_refuses_buffers_of_other_lengths_and_writes_nothing() {
    let case = Case::new(Cell::lstm(), [5, 9], [1, 2]);
    let packed = PackedWeights::new(Variant::by_name("portable").unwrap(), &case.weights()).unwrap();
    for (what, expected) in [("x", 10), ("y", 18), ("h", 18), ("c", 18)] {
        for got in [0, expected - 1, expected + 1] {
            let mut wrong = case.clone();
            let buffer = match what {
                "x" => &mut wrong.x,
                "y" => &mut wrong.y,
                "h" => &mut wrong.h,
                _ => &mut wrong.c,
            };
            buffer.resize(got, 7.0);
            let before = wrong.results();
            let refused = step(&packed, wrong.one_step(2, true), &mut Scratch::new());
            assert_eq!(refused, Err(Error::Length { what, expected, got }));
            assert_eq!(wrong.results(), before, "{what}");
        }
    }
    let mut wrong = case.clone();
    let huge = OneStep { batch: usize::MAX, ..wrong.one_step(2, true) };
    assert_eq!(step(&packed, huge, &mut Scratch::new()), Err(Error::Overflow { what: "x" }));
}

#[test]
fn a_stopped_call_has_asked_before_each_chunk() {
    use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    let case = Case::new(Cell::lstm(), [5, 9], [7, 2]);
    let packed = PackedWeights::new(Variant::by_name("portable").unwrap(), &case.weights()).unwrap();
    let asked = AtomicUsize::new(0);
    for (last, chunks) in [(0, 1), (2, 3), (3, 4), (4, 4)] {
        asked.store(0, Relaxed);
        let stop = || asked.fetch_add(1, Relaxed) == last;
        let mut case = case.clone();
        let call = super::Call { stop: Some(Stop(&stop)), ..case.call(2) };
        // 7 steps in chunks of 2 are 4 chunks.
        let expected = if last < 4 { Err(Error::Stopped) } else { Ok(()) };
        assert_eq!(forward(&packed, call, &mut Scratch::new()), expected, "at {last}");
        assert_eq!(asked.load(Relaxed), chunks, "at {last}");
    }
}
