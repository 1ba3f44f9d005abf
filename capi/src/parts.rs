//! h and c of a state, or of one of its batch rows, in buffers of the caller.

use crate::lent::{Lent, Span};
use crate::state::Memory;
use crate::{Failure, RNNPACK_NOT_FOUND};
use rnnpack::State;

/// The batch rows that a call is about.
#[derive(Clone, Copy)]
pub(crate) enum Rows {
    All,
    One(usize),
}

/// A buffer as C passes it: its start, its elements, its name.
pub(crate) type Given = (*const f32, usize, &'static str);

/// The caller's buffers of h and c, where they are given. They have the sizes of those rows of the state.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    rows: Rows,
    h: Option<Lent<f32>>,
    c: Option<Lent<f32>>,
}

impl Parts {
    /// Checks the buffers for a state. A buffer that is NULL with the count 0 is left out.
    pub(crate) fn new(memory: &Memory, rows: Rows, [h, c]: [Given; 2]) -> Result<Parts, Failure> {
        let batch = memory.state.batch();
        if let Rows::One(row) = rows
            && row >= batch
        {
            let reason = format_args!("row {row} is out of range: the state has {batch} rows");
            return Err(Failure::new(RNNPACK_NOT_FOUND, reason));
        }
        let part = |(start, count, what): Given, part: fn(&State) -> &[f32]| {
            let all: usize = memory.state.layers().iter().map(|state| part(state).len()).sum();
            let expected = if let Rows::One(_) = rows { all / batch } else { all };
            let given = Lent::optional(start, count, what)?;
            given.map(|given| given.expect(expected)).transpose()
        };
        Ok(Parts { rows, h: part(h, State::h)?, c: part(c, State::c)? })
    }

    /// The memory of both.
    pub(crate) fn spans(&self) -> [Option<Span>; 2] {
        [self.h, self.c].map(|part| part.map(Lent::span))
    }

    /// Copies h and c of the state to the buffers.
    ///
    /// # Safety
    /// The contract: the buffers are valid for writes, and nobody uses them during the call. `memory` is that of
    /// [`Parts::new`].
    pub(crate) unsafe fn read(self, memory: &Memory) {
        for (part, numbers) in [(self.h, State::h as fn(&State) -> &[f32]), (self.c, State::c)] {
            let Some(mut to) = part.map(|part| part.start) else { continue };
            for (state, layer) in memory.state.layers().iter().zip(&*memory.layers) {
                let (batch, numbers) = (state.batch(), numbers(state));
                let Places { width, first, step } = self.rows.places(numbers.len(), batch, layer.hidden);
                for row in numbers.chunks(width).skip(first).step_by(step) {
                    // SAFETY: by the contract. The rows have as many elements in all as `new` has checked, and are
                    // memory of the library.
                    unsafe {
                        to.copy_from_nonoverlapping(std::ptr::NonNull::from(row).cast(), row.len());
                        to = to.add(row.len());
                    }
                }
            }
        }
    }

    /// Copies the buffers to h and c of the state.
    ///
    /// # Safety
    /// The contract: the buffers are initialized, and nobody writes them during the call. `memory` is that of
    /// [`Parts::new`].
    pub(crate) unsafe fn write(self, memory: &mut Memory) {
        for (part, numbers) in
            [(self.h, State::h_mut as fn(&mut State) -> &mut [f32]), (self.c, State::c_mut)]
        {
            // SAFETY: by the contract.
            let Some(mut from) = part.map(|part| unsafe { part.slice() }) else { continue };
            for (state, layer) in memory.state.layers_mut().iter_mut().zip(&*memory.layers) {
                let (batch, numbers) = (state.batch(), numbers(state));
                let Places { width, first, step } = self.rows.places(numbers.len(), batch, layer.hidden);
                for row in numbers.chunks_mut(width).skip(first).step_by(step) {
                    let (head, rest) = from.split_at(row.len());
                    row.copy_from_slice(head);
                    from = rest;
                }
            }
        }
    }
}

/// The places of rows in the numbers of a layer, `[D, B, H]`.
struct Places {
    /// The elements of a chunk.
    width: usize,
    /// The first of the chunks that are taken, and the distance to the next.
    first: usize,
    step: usize,
}

impl Rows {
    fn places(self, numbers: usize, batch: usize, hidden: usize) -> Places {
        match self {
            Rows::All => Places { width: numbers.max(1), first: 0, step: 1 },
            Rows::One(row) => Places { width: hidden, first: row, step: batch },
        }
    }
}
