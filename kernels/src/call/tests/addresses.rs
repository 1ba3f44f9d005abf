//! Tests of rows at any addresses, like the rows of a pool of streams.

use super::super::forward;
use super::{Case, cells};
use crate::block::Block;
use crate::blocking::Blocking;
use crate::epilogue::Discard;
use crate::isa::Variant;
use crate::packed::PackedWeights;
use crate::rows::{RowAddresses, Rows};
use crate::scratch::{Scratch, ScratchLayout};
use std::ptr;

/// The buffers of one stream: x and y `[T, width]`, h and c.
struct Stream {
    x: Vec<f32>,
    y: Vec<f32>,
    h: Vec<f32>,
    c: Vec<f32>,
}

impl Stream {
    fn new(case: &Case, row: usize) -> Stream {
        let [input, hidden] = case.sizes;
        let x = (0..case.time).flat_map(|t| &case.x[(t * case.batch + row) * input..][..input]);
        Stream {
            x: x.copied().collect(),
            y: vec![0.0; case.time * hidden],
            h: case.h[row * hidden..][..hidden].to_vec(),
            c: case.c.chunks(hidden).nth(row).unwrap_or_default().to_vec(),
        }
    }

    fn addresses(&mut self) -> RowAddresses {
        let c = if self.c.is_empty() { ptr::null_mut() } else { self.c.as_mut_ptr() };
        RowAddresses { x: self.x.as_ptr(), y: self.y.as_mut_ptr(), h: self.h.as_mut_ptr(), c }
    }
}

#[test]
fn rows_in_memory_of_their_own_give_the_bits_of_rows_of_a_tensor() {
    for (cell, variant) in cells().into_iter().flat_map(|cell| Variant::available().map(move |v| (cell, v))) {
        let [input, hidden] = [3, 21];
        let mut case = Case::new(cell, [input, hidden], [4, 5]);
        let mut streams: Vec<Stream> = (0..case.batch).map(|row| Stream::new(&case, row)).collect();
        let packed = PackedWeights::new(variant, &case.weights()).unwrap();

        let layout = ScratchLayout::new(packed.panels(), Blocking { rows: case.batch, steps: 2 }).unwrap();
        let mut scratch = Scratch::new();
        scratch.prepare(case.time, case.batch, None, &layout).unwrap();
        let Scratch { floats, ragged, addresses, x } = &mut scratch;
        for (row, stream) in addresses.iter_mut().zip(&mut streams) {
            *row = stream.addresses();
        }
        let rows = Rows { addresses, ragged: ragged.rows(), x_time: input, y_time: hidden, reverse: false };
        let mut block = Block {
            panels: packed.panels(),
            products: packed.products(),
            rows,
            steps: 2,
            stop: None,
            x,
            floats,
            layout,
        };
        // SAFETY: every stream has buffers of the sizes of the weights, for all steps; the scratch has this layout.
        unsafe { packed.run()(&mut block, Discard) }.unwrap();

        forward(&packed, case.call(3), &mut Scratch::new()).unwrap();
        let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        for (row, stream) in streams.iter().enumerate() {
            let right = Stream::new(&case, row);
            assert_eq!(bits(&stream.h), bits(&right.h), "h of row {row}, {variant}, {cell:?}");
            assert_eq!(bits(&stream.c), bits(&right.c), "c of row {row}, {variant}, {cell:?}");
            for (t, y) in stream.y.chunks(hidden).enumerate() {
                let right = &case.y[(t * case.batch + row) * hidden..][..hidden];
                assert_eq!(bits(y), bits(right), "y of row {row} at {t}, {variant}, {cell:?}");
            }
        }
    }
}
