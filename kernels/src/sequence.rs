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
use crate::tile::{Acc, Ahead, accumulate, tiles};
use crate::view::{Dims, View, ViewMut};
use crate::{Cell, Element, Error, GruCell, LstmCell};

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
    let blocking = Blocking {
        rows: call.blocking.rows.clamp(1, batch.max(1)),
        steps: call.blocking.steps.clamp(1, time.max(1)),
    };
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

/// What the kernels ask of Y.
///
/// # Errors
/// [`Error::Extent`] names the first extent that is not as expected.
pub fn check_output<F: Element>(y: &ViewMut<'_, F>, expected: Dims) -> Result<(), Error> {
    check_extents(["Y time", "Y directions", "Y batch", "Y width"], expected, y.dims())
}

/// What the kernels and the references ask of the input, its lengths and the state (`state`: elements of h and of c,
/// which has none where the cell has no cell state).
///
/// # Errors
/// [`Error::Extent`], [`Error::Length`] and [`Error::SequenceLength`] name what does not fit, [`Error::Overflow`] a
/// state that no memory holds.
pub fn check<F: Element>(
    cell: &Cell,
    [input, hidden]: [usize; 2],
    x: View<'_, F>,
    lens: Option<&[i32]>,
    state: [usize; 2],
) -> Result<(), Error> {
    let Dims { time, batch, .. } = x.dims();
    let expected = Dims { time, directions: 1, batch, width: input };
    check_extents(["X time", "X directions", "X batch", "X input size"], expected, x.dims())?;
    let h = batch.checked_mul(hidden).ok_or(Error::Overflow { what: "state" })?;
    let c = if cell.has_cell_state() { h } else { 0 };
    for ((what, expected), got) in [("h", h), ("c", c)].into_iter().zip(state) {
        if got != expected {
            return Err(Error::Length { what, expected, got });
        }
    }
    let Some(lens) = lens else { return Ok(()) };
    if lens.len() != batch {
        return Err(Error::Length { what: "sequence_lens", expected: batch, got: lens.len() });
    }
    match lens.iter().position(|&len| usize::try_from(len).map_or(true, |len| len > time)) {
        Some(row) => Err(Error::SequenceLength { row, len: lens[row], time }),
        None => Ok(()),
    }
}

fn check_extents(names: [&'static str; 4], expected: Dims, got: Dims) -> Result<(), Error> {
    let list = |d: Dims| [d.time, d.directions, d.batch, d.width];
    for ((what, expected), got) in names.into_iter().zip(list(expected)).zip(list(got)) {
        if expected != got {
            return Err(Error::Extent { what, expected, got });
        }
    }
    Ok(())
}

fn zero_padding(y: &mut ViewMut<'_>, lens: &[i32]) {
    for (b, &len) in lens.iter().enumerate() {
        for t in len as usize..y.dims().time {
            y.row_mut(t, 0, b).fill(0.0);
        }
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
            let total = state.checked_mul(states)?.checked_add(gates)?;
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
            self.order.sort_unstable_by_key(|&b| (std::cmp::Reverse(lens[b]), b));
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
            gates: at(states).wrapping_add(earlier),
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

/// A tile's first row and panel, and what it asks for ahead.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    panel: usize,
    ahead: Ahead,
}

impl Place {
    /// The only tile over its weights.
    fn alone(panel: usize) -> Place {
        Place { row: 0, panel, ahead: Ahead::NOTHING }
    }
}

/// Calls a tile function with the pass's vectors and the number of rows as constants, where the ISA has registers for so
/// many.
macro_rules! with_rows {
    ($rows:expr, $f:ident::<$s:ident, $p:ident>($($arg:expr),*)) => {
        match $p::SHAPE.vectors() {
            3 => with_rows!(@ $rows, $f::<$s, $p, 3>($($arg),*)),
            4 => with_rows!(@ $rows, $f::<$s, $p, 4>($($arg),*)),
            _ => unreachable!("another number of vectors needs an arm of its own"),
        }
    };
    (@ $rows:expr, $f:ident::<$s:ident, $p:ident, $n:literal>($($arg:expr),*)) => {
        match $rows {
            1 => $f::<$s, $p, 1, 1, $n>($($arg),*),
            2 if $s::MR >= 2 => $f::<$s, $p, 2, 1, $n>($($arg),*),
            3 if $s::MR >= 3 => $f::<$s, $p, 3, 1, $n>($($arg),*),
            4 if $s::MR >= 4 => $f::<$s, $p, 4, 1, $n>($($arg),*),
            5 if $s::MR >= 5 => $f::<$s, $p, 5, 1, $n>($($arg),*),
            6 if $s::MR >= 6 => $f::<$s, $p, 6, 1, $n>($($arg),*),
            _ => {
                const { assert!($s::MR <= 6, "a larger tile needs an arm of its own") };
                unreachable!("tiles have at most MR rows")
            }
        }
    };
}

/// Calls a tile function for one row: two panels at a time keep 6 or 8 independent chains in flight.
macro_rules! one_row {
    ($panel:expr, $panels:expr, $f:ident::<$s:ident, $p:ident>($($arg:expr),*)) => {
        match ($p::SHAPE.vectors(), $panel + 1 < $panels) {
            (3, true) => $f::<$s, $p, 1, 2, 3>($($arg),*),
            (3, false) => $f::<$s, $p, 1, 1, 3>($($arg),*),
            (_, true) => $f::<$s, $p, 1, 2, 4>($($arg),*),
            (_, false) => $f::<$s, $p, 1, 1, 4>($($arg),*),
        }
    };
}

/// gates ← bias + W·x for the first `pairs` (step, row) pairs of the chunk.
///
/// # Safety
/// The operands must be of a pass C, `x_offsets` hold `pairs` offsets of rows of x, and the gate buffer have room for
/// `pairs`.
#[inline(always)]
unsafe fn project<S: Isa, C: Pass>(s: S, o: &Operands<'_>, pairs: usize) {
    let vectors = C::SHAPE.vectors();
    if pairs == 1 {
        for panel in (0..o.panels).step_by(2) {
            // SAFETY: pair 0 is one of the chunk's, and the panels are below `panels`.
            unsafe { one_row!(panel, o.panels, project_tile::<S, C>(s, o, Place::alone(panel))) }
        }
        return;
    }
    for panel in 0..o.panels {
        let next = (panel + 1 < o.panels).then(|| o.w_panel::<S>(vectors, panel + 1));
        for (tile, (row, rows)) in tiles(pairs, S::MR).enumerate() {
            let ahead = Ahead::new::<S>(next, vectors, [tile, pairs.div_ceil(S::MR)], o.input);
            let place = Place { row, panel, ahead };
            // SAFETY: the tile's rows are below `pairs`, the panel below `panels`.
            unsafe { with_rows!(rows, project_tile::<S, C>(s, o, place)) }
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
    let vectors = C::SHAPE.vectors();
    // Backward on odd steps: what is still in cache from the last step is met first.
    let at = |i: usize, count: usize| if step.is_multiple_of(2) { i } else { count - 1 - i };
    if rows == 1 {
        let pairs = o.panels.div_ceil(2);
        for i in 0..pairs {
            let panel = 2 * at(i, pairs);
            // SAFETY: row 0 is one of the block's, and the panels are below `panels`.
            unsafe { one_row!(panel, o.panels, recur_tile::<S, C>(s, pass, o, base, Place::alone(panel))) }
        }
        return;
    }
    for i in 0..o.panels {
        let panel = at(i, o.panels);
        let next = (i + 1 < o.panels).then(|| o.r_panel::<S>(vectors, at(i + 1, o.panels)));
        for (tile, (row, count)) in tiles(rows, S::MR).enumerate() {
            let ahead = Ahead::new::<S>(next, vectors, [tile, rows.div_ceil(S::MR)], o.hidden);
            let place = Place { row, panel, ahead };
            // SAFETY: the tile's rows are below `rows`, the panel below `panels`.
            unsafe { with_rows!(count, recur_tile::<S, C>(s, pass, o, base, place)) }
        }
    }
}

impl Operands<'_> {
    /// W of a panel of so many vectors.
    #[inline(always)]
    fn w_panel<S: Isa>(&self, vectors: usize, panel: usize) -> *const f32 {
        self.w.wrapping_add(panel * self.input * vectors * S::LANES)
    }

    /// R of a panel of so many vectors.
    #[inline(always)]
    fn r_panel<S: Isa>(&self, vectors: usize, panel: usize) -> *const f32 {
        self.r.wrapping_add(panel * self.hidden * vectors * S::LANES)
    }

    /// Where a pair's sums are parked: `gates[panel][pair][vector][lane]`.
    #[inline(always)]
    fn parked<S: Isa>(&self, vectors: usize, panel: usize, pair: usize) -> *mut f32 {
        self.gates.wrapping_add((panel * self.chunk + pair) * vectors * S::LANES)
    }
}

/// # Safety
/// The place must lie within the operands of a pass of N vectors: rows below the chunk's pairs, and panels.
#[inline(always)]
unsafe fn project_tile<S: Isa, C: Pass, const M: usize, const P: usize, const N: usize>(
    s: S,
    o: &Operands<'_>,
    at: Place,
) {
    let mut acc: Acc<S::V, M, P, N> = [[[s.splat(0.0); N]; P]; M];
    for acc in &mut acc {
        for (p, acc) in acc.iter_mut().enumerate() {
            for (n, v) in acc.iter_mut().enumerate() {
                // SAFETY: the bias holds N vectors for each panel.
                *v = unsafe { s.load(o.bias.add(((at.panel + p) * N + n) * S::LANES)) };
            }
        }
    }
    let a = std::array::from_fn(|m| o.x.wrapping_add(o.x_offsets[at.row + m]));
    let w = std::array::from_fn(|p| o.w_panel::<S>(N, at.panel + p));
    // SAFETY: x_offsets point at rows of x, and a panel of W has `input` k.
    let acc = unsafe { accumulate(s, acc, a, w, o.input, at.ahead) };
    for (m, acc) in acc.iter().enumerate() {
        for (p, acc) in acc.iter().enumerate() {
            let parked = o.parked::<S>(N, at.panel + p, at.row + m);
            for (n, &v) in acc.iter().enumerate() {
                // SAFETY: the caller's promise: the tile's pairs and panels are in the gate buffer.
                unsafe { s.store(parked.add(n * S::LANES), v) }
            }
        }
    }
}

/// # Safety
/// The place must lie within the operands of the pass, which has N vectors: rows of the block that have a gate pair from
/// `base` on, and panels.
#[inline(always)]
unsafe fn recur_tile<S: Isa, C: Pass, const M: usize, const P: usize, const N: usize>(
    s: S,
    pass: C,
    o: &Operands<'_>,
    base: usize,
    at: Place,
) {
    let mut acc: Acc<S::V, M, P, N> = [[[s.splat(0.0); N]; P]; M];
    for (m, acc) in acc.iter_mut().enumerate() {
        for (p, acc) in acc.iter_mut().enumerate() {
            let panel = at.panel + p;
            let parked = o.parked::<S>(N, panel, base + at.row + m);
            for (n, v) in acc.iter_mut().enumerate() {
                let apart = C::SHAPE.apart && n + C::SHAPE.units >= N;
                // SAFETY: the caller's promise and the invariant of `Operands`.
                *v = unsafe {
                    match apart {
                        true => s.load(
                            o.constants.add((panel * C::SHAPE.units + n + C::SHAPE.units - N) * S::LANES),
                        ),
                        false => s.load(parked.add(n * S::LANES)),
                    }
                };
            }
        }
    }
    let a = std::array::from_fn(|m| o.factor.wrapping_add((at.row + m) * o.row));
    let r = std::array::from_fn(|p| o.r_panel::<S>(N, at.panel + p));
    // SAFETY: a row of h and a panel of R have `hidden` k.
    let acc = unsafe { accumulate(s, acc, a, r, o.hidden, at.ahead) };
    for (m, acc) in acc.iter().enumerate() {
        for (p, acc) in acc.iter().enumerate() {
            let place = Place { row: at.row + m, panel: at.panel + p, ..at };
            // SAFETY: the caller's promise.
            unsafe { finish(s, pass, o, base, place, acc) }
        }
    }
}

/// The epilogue of one row and panel: reads the states, writes what the pass computes, and in the last pass the next h
/// and y.
///
/// # Safety
/// The place's row must be one of the block's and running at this step, its gates a pair from `base` on, its panel below
/// `panels`; N must be the vectors of the pass.
#[inline(always)]
unsafe fn finish<S: Isa, C: Pass, const N: usize>(
    s: S,
    pass: C,
    o: &Operands<'_>,
    base: usize,
    place: Place,
    acc: &[S::V; N],
) {
    let Place { row, panel, .. } = place;
    let units = C::SHAPE.units;
    let parked = o.parked::<S>(N, panel, base + row);
    for u in 0..units {
        let unit = (panel * units + u) * S::LANES;
        let at = row * o.row + unit;
        let lanes = At {
            h: o.h.wrapping_add(at),
            aux: o.aux.map(|aux| aux.wrapping_add(at)),
            projected: parked.wrapping_add((N - units + u) * S::LANES),
            constants: std::array::from_fn(|i| o.constants.wrapping_add(i * o.row + unit)),
        };
        let gates = std::array::from_fn(|g| acc[if g * units + u < N { g * units + u } else { u }]);
        // SAFETY: state rows and rows of constants hold whole panels, and the pair has N parked vectors.
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
                std::ptr::copy_nonoverlapping(o.h_next.add(at), to, left);
            }
        }
    }
}
