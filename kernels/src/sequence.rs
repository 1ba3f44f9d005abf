//! One direction of a layer over a sequence: the loops around the tiles.
//!
//! ```text
//! for each block of batch rows (longest sequences first)
//!   for each chunk of time steps
//!     gates ← bias + W·x          all panels, all (step, row) of the chunk as rows of one product
//!     for each step of the chunk
//!       for each pass of the cell (one, but for some GRUs)
//!         for each panel (forward on even steps, backward on odd ones)
//!           for each tile of rows still running
//!             gates + R·h, cell epilogue → c, next h, y
//! ```
//!
//! Every gate is one chain of fused multiply-adds (bias, x in ascending k, h in ascending k); parking a partial sum
//! in the gate buffer changes no bit. So neither the blocking nor the neighbours of a row change its result.

use crate::aligned::AlignedBuf;
use crate::blocking::Blocking;
use crate::cell::{Any, At, Candidate, CoupledLstm, Gates, Gru, Lstm, NoPass, Pass, Rnn, Standard};
use crate::isa::{Isa, Kernel};
use crate::pack::{Packed, PackedPass};
use crate::tile::{Acc, Ahead, Run, Tile, runs, sums, tiles};
use crate::view::{Dims, View, ViewMut};
use crate::{Cell, Error, GruCell, LstmCell, check, check_output, zero_padding};
use alloc::vec::Vec;

/// One direction over a block of batch rows.
pub struct Call<'a> {
    /// Input, `[T, 1, B, I]`.
    pub x: View<'a>,
    /// Output, `[T, 1, B, H]`, where it is wanted. Rows at and beyond a sequence's length are zeroed.
    pub y: Option<ViewMut<'a>>,
    /// Steps of each row, `[B]`, 0 to T; all T where absent.
    pub lens: Option<&'a [i32]>,
    /// Read every sequence from its own last step to its first.
    pub reverse: bool,
    /// Hidden state `[B, H]`: the initial one before, the final one after.
    pub h: &'a mut [f32],
    /// Cell state `[B, H]`, likewise; empty where the cell has none.
    pub c: &'a mut [f32],
    /// Loop extents.
    pub blocking: Blocking,
}

/// Working memory of [`forward`]; grows to the largest call and is reused without further allocation.
#[derive(Default)]
pub struct Scratch {
    floats: AlignedBuf,
    /// Batch rows of the call, longest sequence first.
    order: Vec<usize>,
    /// Their lengths.
    lens: Vec<usize>,
    /// Where in x the rows of the current chunk start, `[step][row]`.
    x_offsets: Vec<usize>,
}

/// Runs one direction of a layer on packed weights.
///
/// # Errors
/// [`Error::Extent`], [`Error::Length`] and [`Error::SequenceLength`] where the call's parts disagree,
/// [`Error::Overflow`] and [`Error::Memory`] where the working memory does not fit. Nothing was written then.
pub fn forward(packed: &Packed, mut call: Call<'_>, scratch: &mut Scratch) -> Result<(), Error> {
    let (input, hidden) = (packed.input(), packed.hidden());
    check(packed.cell(), [input, hidden], call.x, call.lens, [call.h.len(), call.c.len()])?;
    let Dims { time, batch, .. } = call.x.dims();
    if let Some(y) = &call.y {
        check_output(y, Dims { time, directions: 1, batch, width: hidden })?;
    }
    let blocking = within(call.blocking, time, batch);
    let layout = Buffers::new(packed, blocking)?;
    scratch.prepare(time, batch, call.lens, layout)?;
    if let (Some(y), Some(lens)) = (&mut call.y, call.lens) {
        zero_padding(y, lens);
    }
    for first in (0..batch).step_by(blocking.rows) {
        let end = (first + blocking.rows).min(batch);
        let block = Block {
            packed,
            x: call.x,
            y: call.y.as_mut().map(|y| y.reborrow()),
            reverse: call.reverse,
            blocking,
            h: call.h,
            c: call.c,
            order: &scratch.order[first..end],
            lens: &scratch.lens[first..end],
            x_offsets: &mut scratch.x_offsets,
            floats: &mut scratch.floats,
            layout,
        };
        run(block);
    }
    Ok(())
}

/// Loop extents that are no larger than the call.
fn within(Blocking { rows, steps }: Blocking, time: usize, batch: usize) -> Blocking {
    Blocking { rows: rows.clamp(1, batch.max(1)), steps: steps.clamp(1, time.max(1)) }
}

/// Runs a block with the epilogues of its cell. The default activations have instances of their own.
fn run(block: Block<'_>) {
    let peepholes = block.packed.has_peepholes();
    let cell = *block.packed.cell();
    let any = Any::new(&cell);
    let plain = Cell::plain(&cell) && !peepholes;
    match cell {
        Cell::Lstm(LstmCell { input_forget: true, .. }) => {
            block.dispatch(CoupledLstm(Lstm { activations: any, peepholes }), NoPass);
        }
        Cell::Lstm(_) if plain => block.dispatch(Lstm { activations: Standard, peepholes: false }, NoPass),
        Cell::Lstm(_) => block.dispatch(Lstm { activations: any, peepholes }, NoPass),
        Cell::Gru(GruCell { linear_before_reset: true, .. }) if plain => {
            block.dispatch(Gru(Standard), NoPass)
        }
        Cell::Gru(GruCell { linear_before_reset: true, .. }) => block.dispatch(Gru(any), NoPass),
        Cell::Gru(_) if plain => block.dispatch(Gates(Standard), Candidate(Standard)),
        Cell::Gru(_) => block.dispatch(Gates(any), Candidate(any)),
        Cell::Rnn(_) if plain => block.dispatch(Rnn(Standard), NoPass),
        Cell::Rnn(_) => block.dispatch(Rnn(any), NoPass),
    }
}

/// How a block's working memory is divided.
#[derive(Clone, Copy)]
struct Buffers {
    /// f32 of a padded row of h or c.
    row: usize,
    /// f32 of h (one of two) and of each other state.
    state: usize,
    /// States: two of h, and the cell's others.
    states: usize,
    /// (step, row) pairs of a panel in the gate buffer.
    chunk: usize,
    /// f32 of everything.
    total: usize,
}

impl Buffers {
    fn new(packed: &Packed, blocking: Blocking) -> Result<Buffers, Error> {
        let (row, states) = (packed.row(), 2 + packed.cell().aux());
        let sizes = || {
            let chunk = blocking.rows.checked_mul(blocking.steps)?;
            let state = blocking.rows.checked_mul(row)?;
            // The bias of a pass has as many elements as the gates of a pair.
            let gates = chunk.checked_mul(packed.passes().iter().map(|pass| pass.bias.len()).sum())?;
            let total = state.checked_mul(states)?.checked_add(TILE)?.checked_add(gates)?;
            Some(Buffers { row, state, states, chunk, total })
        };
        sizes().ok_or(Error::Overflow { what: "scratch" })
    }
}

impl Scratch {
    /// Empty; memory comes with the first call.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// Bytes that an empty scratch allocates in a call of `time` steps and `batch` rows.
    ///
    /// # Errors
    /// [`Error::Overflow`] where no memory is so large.
    pub fn bytes(packed: &Packed, blocking: Blocking, time: usize, batch: usize) -> Result<usize, Error> {
        let layout = Buffers::new(packed, within(blocking, time, batch))?;
        let floats = AlignedBuf::bytes(layout.total);
        let lists = batch.checked_mul(2).and_then(|rows| rows.checked_add(layout.chunk));
        let lists = lists.and_then(|count| count.checked_mul(size_of::<usize>()));
        floats.zip(lists).and_then(|(a, b)| a.checked_add(b)).ok_or(Error::Overflow { what: "scratch" })
    }

    fn prepare(
        &mut self,
        time: usize,
        batch: usize,
        lens: Option<&[i32]>,
        layout: Buffers,
    ) -> Result<(), Error> {
        let what = "scratch";
        self.floats.resize(layout.total).ok_or(Error::Memory { what, floats: layout.total })?;
        for (list, len) in
            [(&mut self.order, batch), (&mut self.lens, batch), (&mut self.x_offsets, layout.chunk)]
        {
            list.clear();
            list.try_reserve_exact(len).map_err(|_| Error::Memory { what, floats: len })?;
        }
        self.x_offsets.resize(layout.chunk, 0);
        self.order.extend(0..batch);
        if let Some(lens) = lens {
            self.order.sort_unstable_by_key(|&b| (core::cmp::Reverse(lens[b]), b));
        }
        self.lens.extend(self.order.iter().map(|&b| lens.map_or(time, |lens| lens[b] as usize)));
        Ok(())
    }
}

/// Rows that go through all their steps together. Row `i` of the block is batch row `order[i]`.
///
/// # Invariant
/// Checked by [`forward`]: the shapes agree, `order` holds batch rows, `lens` (descending) are at most T,
/// `floats` and `x_offsets` have the sizes of `layout`.
struct Block<'a> {
    packed: &'a Packed,
    x: View<'a>,
    y: Option<ViewMut<'a>>,
    reverse: bool,
    blocking: Blocking,
    h: &'a mut [f32],
    c: &'a mut [f32],
    order: &'a [usize],
    lens: &'a [usize],
    x_offsets: &'a mut [usize],
    floats: &'a mut [f32],
    layout: Buffers,
}

/// A block, and the passes of its cell.
struct Steps<'a, A, B> {
    block: Block<'a>,
    first: A,
    second: B,
}

impl<A: Pass, B: Pass> Kernel for Steps<'_, A, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, s: S) {
        let Steps { mut block, first: pass, second } = self;
        assert_eq!(S::LANES, block.packed.variant().lanes(), "dispatched to another variant than packed for");
        block.load_state();
        let steps = block.lens.first().copied().unwrap_or(0);
        let mut first = 0;
        while first < steps {
            let chunk = block.blocking.steps.min(steps - first);
            let pairs = block.locate_inputs(first, chunk);
            // SAFETY: `pairs` rows of x were located, at most the chunk that the gate buffer has room for.
            unsafe {
                project::<S, A>(s, &block.operands(first, 0), pairs);
                if const { has_gates::<B>() } {
                    project::<S, B>(s, &block.operands(first, 1), pairs);
                }
            }
            let mut base = 0;
            for step in first..first + chunk {
                let rows = block.running(step);
                // SAFETY: the `rows` running rows of this step are the pairs from `base` on, as `locate_inputs` counted.
                unsafe {
                    recur(s, pass, &block.operands(step, 0), step, rows, base);
                    if const { has_gates::<B>() } {
                        recur(s, second, &block.operands(step, 1), step, rows, base);
                    }
                }
                base += rows;
            }
            first += chunk;
        }
        block.store_state();
    }
}

/// Whether this is a pass at all.
const fn has_gates<P: Pass>() -> bool {
    !P::SHAPE.gates.is_empty()
}

impl<'a> Block<'a> {
    fn dispatch<A: Pass, B: Pass>(self, first: A, second: B) {
        let variant = self.packed.variant();
        variant.dispatch(Steps { block: self, first, second });
    }

    /// Rows whose sequences are longer than `step`.
    fn running(&self, step: usize) -> usize {
        self.lens.partition_point(|&len| len > step)
    }

    /// What pass `index` works on at `step`.
    fn operands(&mut self, step: usize, index: usize) -> Operands<'_> {
        let Buffers { row, state, states, chunk, .. } = self.layout;
        let pass: &PackedPass = &self.packed.passes()[index];
        let floats = self.floats.as_mut_ptr();
        // Steps alternate between two buffers of h; the other states and the gates follow them.
        let at = |states: usize| floats.wrapping_add(states * state);
        let earlier: usize = self.packed.passes()[..index].iter().map(|pass| chunk * pass.bias.len()).sum();
        let (h, aux) = (at(step % 2), [at(2), at(3)]);
        Operands {
            w: pass.w.as_ptr(),
            r: pass.r.as_ptr(),
            bias: pass.bias.as_ptr(),
            constants: self.packed.constants().as_ptr(),
            x: self.x.as_ptr(),
            x_offsets: self.x_offsets,
            factor: if index == 0 { h } else { aux[1] },
            h,
            h_next: at((step + 1) % 2),
            aux,
            gates: at(states).wrapping_add(TILE + earlier),
            sums: at(states),
            chunk,
            row,
            input: self.packed.input(),
            hidden: self.packed.hidden(),
            panels: pass.panels,
            y: self.y.as_ref().map(|y| Output {
                y,
                order: self.order,
                lens: self.lens,
                step,
                reverse: self.reverse,
            }),
        }
    }

    /// Notes where the x rows of the chunk start; returns how many there are.
    fn locate_inputs(&mut self, first: usize, chunk: usize) -> usize {
        let mut pairs = 0;
        for step in first..first + chunk {
            for i in 0..self.running(step) {
                self.x_offsets[pairs] = self.x.offset(time(self.reverse, step, self.lens[i]), self.order[i]);
                pairs += 1;
            }
        }
        pairs
    }

    /// Initial h (into the buffer that step 0 reads) and c, padded with zeros.
    fn load_state(&mut self) {
        let (row, hidden) = (self.layout.row, self.packed.hidden());
        let (h, rest) = self.floats.split_at_mut(2 * self.layout.state);
        for (to, from) in [(h, &*self.h), (rest, &*self.c)] {
            if from.is_empty() {
                continue;
            }
            for (i, &b) in self.order.iter().enumerate() {
                let to = &mut to[i * row..][..row];
                to[..hidden].copy_from_slice(&from[b * hidden..][..hidden]);
                to[hidden..].fill(0.0);
            }
        }
    }

    /// Final h and c. A row of length `len` was written `len` times, so its h is in buffer `len % 2`.
    fn store_state(&mut self) {
        let (row, hidden, state) = (self.layout.row, self.packed.hidden(), self.layout.state);
        for (i, (&b, &len)) in self.order.iter().zip(self.lens).enumerate() {
            for (to, buffer) in [(&mut *self.h, len % 2), (&mut *self.c, 2)] {
                if !to.is_empty() {
                    let from = &self.floats[buffer * state + i * row..][..hidden];
                    to[b * hidden..][..hidden].copy_from_slice(from);
                }
            }
        }
    }
}

/// The time step of x and y that a sequence of length `len` is at on its `step`-th step.
fn time(reverse: bool, step: usize, len: usize) -> usize {
    if reverse { len - 1 - step } else { step }
}

/// The addresses that the tiles of one pass of a step work on.
///
/// # Invariant
/// Made by [`Block::operands`]: weights as packed for the running ISA and the pass, `gates` for the chunk's pairs, states
/// for the block's rows, all with `row` (whole panels) f32 a row, of `aux` as many as the cell has; three rows of
/// constants; `x_offsets` point at rows of x; y has a row of `hidden` f32 for every batch row and time step, and overlaps
/// nothing else.
struct Operands<'a> {
    w: *const f32,
    r: *const f32,
    bias: *const f32,
    constants: *const f32,
    x: *const f32,
    x_offsets: &'a [usize],
    /// What R is multiplied with: h, or r ⊙ h.
    factor: *const f32,
    h: *const f32,
    h_next: *mut f32,
    aux: [*mut f32; 2],
    gates: *mut f32,
    /// Room for the sums of a tile.
    sums: *mut f32,
    /// (step, row) pairs of a panel in `gates`.
    chunk: usize,
    row: usize,
    input: usize,
    hidden: usize,
    panels: usize,
    y: Option<Output<'a>>,
}

/// Where the rows of one step go in y.
struct Output<'a> {
    y: &'a ViewMut<'a>,
    order: &'a [usize],
    lens: &'a [usize],
    step: usize,
    reverse: bool,
}

impl Output<'_> {
    fn row(&self, i: usize) -> *mut f32 {
        self.y.row_ptr(time(self.reverse, self.step, self.lens[i]), self.order[i])
    }
}

/// A tile's rows and panels.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    rows: usize,
    panel: usize,
    panels: usize,
}

/// f32 that the sums of a tile take at most, in two halves: 6 rows or 2 panels of 4 vectors of 16 lanes.
const TILE: usize = 2 * 6 * 4 * 16;

/// Evaluates a call of a tile function with the rows M, the panels P and the pass's vectors N as constants, where the ISA
/// has registers for so many. Two panels go with one row alone.
macro_rules! with_tile {
    ($s:ident, $pass:ident, $rows:expr, $panels:expr, |$m:ident, $p:ident, $n:ident| $call:expr) => {
        match $pass::SHAPE.vectors() {
            3 => with_tile!(@ $s, $rows, $panels, $m, $p, $n = 3, $call),
            4 => with_tile!(@ $s, $rows, $panels, $m, $p, $n = 4, $call),
            _ => unreachable!("another number of vectors needs an arm of its own"),
        }
    };
    (@ $s:ident, $rows:expr, $panels:expr, $m:ident, $p:ident, $n:ident = $vectors:literal, $call:expr) => {
        match ($rows, $panels) {
            (1, 2) => with_tile!(@ $m = 1, $p = 2, $n = $vectors, $call),
            (1, _) => with_tile!(@ $m = 1, $p = 1, $n = $vectors, $call),
            (2, _) if $s::MR >= 2 => with_tile!(@ $m = 2, $p = 1, $n = $vectors, $call),
            (3, _) if $s::MR >= 3 => with_tile!(@ $m = 3, $p = 1, $n = $vectors, $call),
            (4, _) if $s::MR >= 4 => with_tile!(@ $m = 4, $p = 1, $n = $vectors, $call),
            (5, _) if $s::MR >= 5 => with_tile!(@ $m = 5, $p = 1, $n = $vectors, $call),
            (6, _) if $s::MR >= 6 => with_tile!(@ $m = 6, $p = 1, $n = $vectors, $call),
            _ => {
                const { assert!($s::MR <= 6, "a larger tile needs an arm of its own") };
                unreachable!("tiles have at most MR rows")
            }
        }
    };
    (@ $m:ident = $rows:literal, $p:ident = $panels:literal, $n:ident = $vectors:literal, $call:expr) => {{
        const $m: usize = $rows;
        const $p: usize = $panels;
        const $n: usize = $vectors;
        $call
    }};
}

/// gates ← bias + W·x for the first `pairs` (step, row) pairs of the chunk.
///
/// # Safety
/// The operands must be of a pass C, `x_offsets` hold `pairs` offsets of rows of x, and the gate buffer have room for
/// `pairs`.
#[inline(always)]
unsafe fn project<S: Isa, C: Pass>(s: S, o: &Operands<'_>, pairs: usize) {
    let group = panels_at_once(pairs);
    for panel in (0..o.panels).step_by(group) {
        let panels = group.min(o.panels - panel);
        let next = (pairs > 1 && panel + 1 < o.panels).then(|| o.w_panel::<S, C>(panel + 1));
        for run in runs(pairs, S::MR) {
            let ahead =
                Ahead::new::<S>(next, C::SHAPE.vectors(), [run.before, pairs.div_ceil(S::MR)], o.input);
            // SAFETY: the tiles' rows are below `pairs`, the panels below `panels`; N are the vectors of the pass.
            unsafe {
                with_tile!(S, C, run.rows, panels, |M, P, N| {
                    let tile = o.projection::<S, C, M, P>(panel, ahead);
                    project_run::<S, M, P, N>(s, o, run, tile, o.parked::<S, C>(panel, run.first))
                })
            }
        }
    }
}

/// One step of the first `rows` rows of the block, whose gates start at pair `base`.
///
/// # Safety
/// The operands must be of the pass, the first `rows` rows be of the block and running at this step, and their gates be
/// the pairs from `base` on.
#[inline(always)]
unsafe fn recur<S: Isa, C: Pass>(s: S, pass: C, o: &Operands<'_>, step: usize, rows: usize, base: usize) {
    const { assert!(2 * S::MR * 4 * S::LANES <= TILE, "the sums of a tile need more room") };
    const { assert!(!C::SHAPE.apart || C::SHAPE.units == 1, "constants stand apart for one vector of units") };
    let group = panels_at_once(rows);
    let groups = o.panels.div_ceil(group);
    // Backward on odd steps: what is still in cache from the last step is met first.
    let order = |i: usize| if step.is_multiple_of(2) { i } else { groups - 1 - i };
    for i in 0..groups {
        let panel = group * order(i);
        let panels = group.min(o.panels - panel);
        let next = (rows > 1 && i + 1 < groups).then(|| o.r_panel::<S, C>(order(i + 1)));
        for (tile, (row, count)) in tiles(rows, S::MR).enumerate() {
            let ahead = Ahead::new::<S>(next, C::SHAPE.vectors(), [tile, rows.div_ceil(S::MR)], o.hidden);
            let at = Place { row, rows: count, panel, panels };
            // SAFETY: the tile's rows are below `rows`, the panels below `panels`; N are the vectors of the pass.
            unsafe {
                if C::INLINE {
                    with_tile!(S, C, count, panels, |M, P, N| {
                        let tile = o.recurrence::<S, C, M, P>(at, base, ahead);
                        fused_tile::<S, C, M, P, N>(s, pass, o, at, base, &tile)
                    })
                } else {
                    with_tile!(S, C, count, panels, |M, P, N| {
                        let tile = o.recurrence::<S, C, M, P>(at, base, ahead);
                        store_sums::<S, M, P, N>(s, &tile, o.sums, TILE / 2)
                    });
                    finish_stored(s, pass, o, at, base);
                }
            }
        }
    }
}

/// Panels of a tile: with one row, two keep 6 or 8 independent chains in flight.
fn panels_at_once(rows: usize) -> usize {
    if rows == 1 { 2 } else { 1 }
}

/// Projects a run of tiles, like `tile` but each of its own rows of x, to `to` and behind it: a pair's sums follow those of
/// the pair before. A function of its own, which all passes share.
///
/// # Safety
/// The tiles must be of a projection by the operands, whose `x_offsets` hold an offset for each of their rows; the places of
/// the pairs in the gate buffer must be valid for writing, in each panel.
unsafe fn project_run<S: Isa, const M: usize, const P: usize, const N: usize>(
    s: S,
    o: &Operands<'_>,
    run: Run,
    mut tile: Tile<M, P>,
    mut to: *mut f32,
) {
    s.vectorize(
        #[inline(always)]
        move || {
            let panel = o.chunk * N * S::LANES;
            for offsets in o.x_offsets[run.first..][..run.tiles * M].chunks_exact(M) {
                tile.a = core::array::from_fn(|m| o.x.wrapping_add(offsets[m]));
                // SAFETY: the caller's promise.
                unsafe { store(s, sums::<S, M, P, N>(s, &tile), to, panel) }
                tile.ahead = tile.ahead.after(tile.depth);
                to = to.wrapping_add(M * N * S::LANES);
            }
        },
    )
}

/// The sums of a tile go to `to`: rows follow each other, panels are `panel` f32 apart.
///
/// # Safety
/// `to` must be valid for writing them.
#[inline(always)]
unsafe fn store<S: Isa, const M: usize, const P: usize, const N: usize>(
    s: S,
    acc: Acc<S::V, M, P, N>,
    to: *mut f32,
    panel: usize,
) {
    for (m, acc) in acc.iter().enumerate() {
        for (p, acc) in acc.iter().enumerate() {
            for (n, &v) in acc.iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { s.store(to.wrapping_add(p * panel + (m * N + n) * S::LANES), v) }
            }
        }
    }
}

/// Computes a tile, and stores it as [`store`] does. A function of its own, which all passes share.
///
/// # Safety
/// As [`sums`] and [`store`].
unsafe fn store_sums<S: Isa, const M: usize, const P: usize, const N: usize>(
    s: S,
    tile: &Tile<M, P>,
    to: *mut f32,
    panel: usize,
) {
    s.vectorize(
        #[inline(always)]
        || {
            // SAFETY: the caller's promise.
            unsafe { store(s, sums::<S, M, P, N>(s, tile), to, panel) }
        },
    )
}

/// A tile of R·h, and its epilogues, inline behind the sums.
///
/// # Safety
/// `tile` must be what [`Operands::recurrence`] gives for the place, which must lie within the operands of the pass: rows
/// of the block that have a gate pair from `base` on, and panels; N must be the pass's vectors.
#[inline(always)]
unsafe fn fused_tile<S: Isa, C: Pass, const M: usize, const P: usize, const N: usize>(
    s: S,
    pass: C,
    o: &Operands<'_>,
    at: Place,
    base: usize,
    tile: &Tile<M, P>,
) {
    // SAFETY: the caller's promise.
    let acc: Acc<S::V, M, P, N> = unsafe { sums(s, tile) };
    for (m, acc) in acc.iter().enumerate() {
        for (p, acc) in acc.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { finish(s, pass, o, [at.row + m, at.panel + p], base, |n| acc[n]) }
        }
    }
}

/// The epilogues of a tile whose sums were stored.
///
/// # Safety
/// As [`fused_tile`]; the sums must be the tile's, as [`recur`] stores them.
#[inline(always)]
unsafe fn finish_stored<S: Isa, C: Pass>(s: S, pass: C, o: &Operands<'_>, at: Place, base: usize) {
    for p in 0..at.panels {
        for m in 0..at.rows {
            let sums = o.sums.wrapping_add(p * (TILE / 2) + m * C::SHAPE.vectors() * S::LANES);
            // SAFETY: the caller's promise.
            unsafe {
                finish(s, pass, o, [at.row + m, at.panel + p], base, |n| s.load(sums.add(n * S::LANES)))
            }
        }
    }
}

impl Operands<'_> {
    /// W of a panel.
    #[inline(always)]
    fn w_panel<S: Isa, C: Pass>(&self, panel: usize) -> *const f32 {
        self.w.wrapping_add(panel * self.input * C::SHAPE.vectors() * S::LANES)
    }

    /// R of a panel.
    #[inline(always)]
    fn r_panel<S: Isa, C: Pass>(&self, panel: usize) -> *const f32 {
        self.r.wrapping_add(panel * self.hidden * C::SHAPE.vectors() * S::LANES)
    }

    /// Where a pair's sums are parked: `gates[panel][pair][vector][lane]`.
    #[inline(always)]
    fn parked<S: Isa, C: Pass>(&self, panel: usize, pair: usize) -> *mut f32 {
        self.gates.wrapping_add((panel * self.chunk + pair) * C::SHAPE.vectors() * S::LANES)
    }

    /// A tile of bias + W·x over panels from `panel` on, whose rows [`project_run`] fills in.
    #[inline(always)]
    fn projection<S: Isa, C: Pass, const M: usize, const P: usize>(
        &self,
        panel: usize,
        ahead: Ahead,
    ) -> Tile<M, P> {
        let bias = |p| self.bias.wrapping_add((panel + p) * C::SHAPE.vectors() * S::LANES);
        Tile {
            start: core::array::from_fn(bias),
            last: core::array::from_fn(|p| bias(p).wrapping_add((C::SHAPE.vectors() - 1) * S::LANES)),
            rows: [0, 0],
            a: [self.x; M],
            w: core::array::from_fn(|p| self.w_panel::<S, C>(panel + p)),
            depth: self.input,
            ahead,
        }
    }

    /// A tile of parked sums + R·h.
    #[inline(always)]
    fn recurrence<S: Isa, C: Pass, const M: usize, const P: usize>(
        &self,
        at: Place,
        base: usize,
        ahead: Ahead,
    ) -> Tile<M, P> {
        let row = C::SHAPE.vectors() * S::LANES;
        let parked = |p| self.parked::<S, C>(at.panel + p, base + at.row).cast_const();
        let last = |p| match C::SHAPE.apart {
            true => self.constants.wrapping_add((at.panel + p) * S::LANES),
            false => parked(p).wrapping_add(row - S::LANES),
        };
        Tile {
            start: core::array::from_fn(parked),
            last: core::array::from_fn(last),
            rows: [row, if C::SHAPE.apart { 0 } else { row }],
            a: core::array::from_fn(|m| self.factor.wrapping_add((at.row + m) * self.row)),
            w: core::array::from_fn(|p| self.r_panel::<S, C>(at.panel + p)),
            depth: self.hidden,
            ahead,
        }
    }
}

/// The epilogue of one row and panel, from its sums: reads the states, writes what the pass computes, and in the last pass
/// the next h and y.
///
/// # Safety
/// The row must be one of the block's and running at this step, its gates a pair from `base` on, the panel below `panels`.
#[inline(always)]
unsafe fn finish<S: Isa, C: Pass>(
    s: S,
    pass: C,
    o: &Operands<'_>,
    [row, panel]: [usize; 2],
    base: usize,
    sum: impl Fn(usize) -> S::V,
) {
    let units = C::SHAPE.units;
    let parked = o.parked::<S, C>(panel, base + row);
    for u in 0..units {
        let unit = (panel * units + u) * S::LANES;
        let at = row * o.row + unit;
        let lanes = At {
            h: o.h.wrapping_add(at),
            aux: [o.aux[0].wrapping_add(at), o.aux[1].wrapping_add(at)],
            projected: parked.wrapping_add((C::SHAPE.vectors() - units + u) * S::LANES),
            constants: o.constants.wrapping_add(unit),
            row: o.row,
        };
        let mut gates = [s.splat(0.0); 4];
        for (g, gate) in gates.iter_mut().enumerate().take(C::SHAPE.gates.len()) {
            *gate = sum(g * units + u);
        }
        // SAFETY: state rows and rows of constants hold whole panels, and the pair has all vectors of the pass parked.
        let Some(h) = (unsafe { pass.finish(s, gates, lanes) }) else { continue };
        // SAFETY: as above. The row is running, so its time step is one of y's, whose row holds `hidden` f32: `left` of
        // them from this unit on.
        unsafe {
            s.store(o.h_next.add(at), h);
            let Some(y) = &o.y else { continue };
            let to = y.row(row).wrapping_add(unit);
            let left = o.hidden.saturating_sub(unit);
            if left >= S::LANES {
                s.store(to, h);
            } else {
                // The last panel is padded, y's rows are not.
                core::ptr::copy_nonoverlapping(o.h_next.add(at), to, left);
            }
        }
    }
}
