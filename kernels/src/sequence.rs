//! One direction of a layer over a sequence: the loops around the tiles.
//!
//! ```text
//! for each block of batch rows (longest sequences first)
//!   for each chunk of time steps
//!     gates ← bias + W·x          all panels, all (step, row) of the chunk as rows of one product
//!     for each step of the chunk
//!       for each panel (forward on even steps, backward on odd ones)
//!         for each tile of rows still running
//!           gates + R·h, cell epilogue → c, next h, y
//! ```
//!
//! Every gate is one chain of fused multiply-adds (bias, x in ascending k, h in ascending k); parking a partial sum
//! in the gate buffer changes no bit. So neither the blocking nor the neighbours of a row change its result.

use crate::Error;
use crate::aligned::AlignedBuf;
use crate::blocking::Blocking;
use crate::cell::lstm;
use crate::isa::{Isa, Kernel};
use crate::pack::Packed;
use crate::tile::{Acc, Ahead, accumulate, tiles};
use crate::view::{Dims, View, ViewMut};
use crate::weights::GATES;

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
    /// Cell state `[B, H]`, likewise.
    pub c: &'a mut [f32],
    /// Loop extents.
    pub blocking: Blocking,
}

/// Working memory of [`lstm_forward`]; grows to the largest call and is reused without further allocation.
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

/// Runs an LSTM direction on packed weights.
///
/// # Errors
/// [`Error::Extent`], [`Error::Length`] and [`Error::SequenceLength`] where the call's parts disagree,
/// [`Error::Overflow`] and [`Error::Memory`] where the working memory does not fit. Nothing was written then.
pub fn lstm_forward(packed: &Packed, mut call: Call<'_>, scratch: &mut Scratch) -> Result<(), Error> {
    let (input, hidden) = (packed.input(), packed.hidden());
    check(input, hidden, call.x, call.lens, call.h.len(), call.c.len())?;
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
        packed.variant().dispatch(block);
    }
    Ok(())
}

/// What the kernels ask of Y.
///
/// # Errors
/// [`Error::Extent`] names the first extent that is not as expected.
pub fn check_output(y: &ViewMut<'_>, expected: Dims) -> Result<(), Error> {
    check_extents(["Y time", "Y directions", "Y batch", "Y width"], expected, y.dims())
}

/// What the kernels and the references ask of the input, its lengths and the state (`h_len`, `c_len`: elements).
///
/// # Errors
/// [`Error::Extent`], [`Error::Length`] and [`Error::SequenceLength`] name what does not fit, [`Error::Overflow`] a
/// state that no memory holds.
pub fn check(
    input: usize,
    hidden: usize,
    x: View<'_>,
    lens: Option<&[i32]>,
    h_len: usize,
    c_len: usize,
) -> Result<(), Error> {
    let Dims { time, batch, .. } = x.dims();
    let expected = Dims { time, directions: 1, batch, width: input };
    check_extents(["X time", "X directions", "X batch", "X input size"], expected, x.dims())?;
    let state = batch.checked_mul(hidden).ok_or(Error::Overflow { what: "state" })?;
    for (what, got) in [("h", h_len), ("c", c_len)] {
        if got != state {
            return Err(Error::Length { what, expected: state, got });
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
    /// f32 of h (one of two) and of c.
    state: usize,
    /// (step, row) pairs of a panel in the gate buffer.
    chunk: usize,
    /// f32 of everything.
    total: usize,
}

impl Buffers {
    fn new(packed: &Packed, blocking: Blocking) -> Result<Buffers, Error> {
        let row = packed.panels() * packed.variant().lanes();
        let chunk = blocking.rows.checked_mul(blocking.steps);
        let sizes = || {
            let state = blocking.rows.checked_mul(row)?;
            let gates = chunk?.checked_mul(row)?.checked_mul(GATES)?;
            Some(Buffers { row, state, chunk: chunk?, total: state.checked_mul(3)?.checked_add(gates)? })
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
/// Checked by [`lstm_forward`]: the shapes agree, `order` holds batch rows, `lens` (descending) are at most T,
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

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, s: S) {
        assert_eq!(S::LANES, self.packed.variant().lanes(), "dispatched to another variant than packed for");
        self.load_state();
        let steps = self.lens.first().copied().unwrap_or(0);
        let mut first = 0;
        while first < steps {
            let chunk = self.blocking.steps.min(steps - first);
            let pairs = self.locate_inputs(first, chunk);
            // SAFETY: `pairs` rows of x were located, at most the chunk that the gate buffer has room for.
            unsafe { project(s, &self.operands(first), pairs) };
            let mut base = 0;
            for step in first..first + chunk {
                let rows = self.running(step);
                // SAFETY: the `rows` running rows of this step are the pairs from `base` on, as `locate_inputs` counted.
                unsafe { recur(s, &self.operands(step), step, rows, base) };
                base += rows;
            }
            first += chunk;
        }
        self.store_state();
    }
}

impl Block<'_> {
    /// Rows whose sequences are longer than `step`.
    fn running(&self, step: usize) -> usize {
        self.lens.partition_point(|&len| len > step)
    }

    fn operands(&mut self, step: usize) -> Operands<'_> {
        let state = self.layout.state;
        let floats = self.floats.as_mut_ptr();
        // Steps alternate between two buffers of h; c and the gates follow them.
        let at = |states: usize| floats.wrapping_add(states * state);
        Operands {
            w: self.packed.w().as_ptr(),
            r: self.packed.r().as_ptr(),
            bias: self.packed.bias().as_ptr(),
            x: self.x.as_ptr(),
            x_offsets: self.x_offsets,
            h: at(step % 2),
            h_next: at((step + 1) % 2),
            c: at(2),
            gates: at(3),
            chunk: self.layout.chunk,
            row: self.layout.row,
            input: self.packed.input(),
            hidden: self.packed.hidden(),
            panels: self.packed.panels(),
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
        for (i, &b) in self.order.iter().enumerate() {
            for (to, from) in [(&mut *h, &*self.h), (&mut *rest, &*self.c)] {
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
                let from = &self.floats[buffer * state + i * row..][..hidden];
                to[b * hidden..][..hidden].copy_from_slice(from);
            }
        }
    }
}

/// The time step of x and y that a sequence of length `len` is at on its `step`-th step.
fn time(reverse: bool, step: usize, len: usize) -> usize {
    if reverse { len - 1 - step } else { step }
}

/// The addresses that the tiles of one step work on.
///
/// # Invariant
/// Made by [`Block::operands`]: weights as packed for the running ISA, `gates` for the chunk's pairs, states for
/// the block's rows, all with `row` (whole panels) f32 a row; `x_offsets` point at rows of x; y has a row of `hidden`
/// f32 for every batch row and time step, and overlaps nothing else.
struct Operands<'a> {
    w: *const f32,
    r: *const f32,
    bias: *const f32,
    x: *const f32,
    x_offsets: &'a [usize],
    h: *const f32,
    h_next: *mut f32,
    c: *mut f32,
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

/// Calls a tile function with the number of rows as a constant, where the ISA has registers for so many.
macro_rules! with_rows {
    ($rows:expr, $f:ident::<$s:ident>($($arg:expr),*)) => {
        match $rows {
            1 => $f::<$s, 1, 1>($($arg),*),
            2 if $s::MR >= 2 => $f::<$s, 2, 1>($($arg),*),
            3 if $s::MR >= 3 => $f::<$s, 3, 1>($($arg),*),
            4 if $s::MR >= 4 => $f::<$s, 4, 1>($($arg),*),
            5 if $s::MR >= 5 => $f::<$s, 5, 1>($($arg),*),
            6 if $s::MR >= 6 => $f::<$s, 6, 1>($($arg),*),
            _ => {
                const { assert!($s::MR <= 6, "a larger tile needs an arm of its own") };
                unreachable!("tiles have at most MR rows")
            }
        }
    };
}

/// Calls a tile function for one row: two panels at a time keep 8 independent chains in flight.
macro_rules! one_row {
    ($panel:expr, $panels:expr, $f:ident::<$s:ident>($($arg:expr),*)) => {
        if $panel + 1 < $panels { $f::<$s, 1, 2>($($arg),*) } else { $f::<$s, 1, 1>($($arg),*) }
    };
}

/// gates ← bias + W·x for the first `pairs` (step, row) pairs of the chunk.
///
/// # Safety
/// `x_offsets` must hold `pairs` offsets of rows of x, and the gate buffer have room for `pairs`.
#[inline(always)]
unsafe fn project<S: Isa>(s: S, o: &Operands<'_>, pairs: usize) {
    if pairs == 1 {
        for panel in (0..o.panels).step_by(2) {
            // SAFETY: pair 0 is one of the chunk's, and the panels are below `panels`.
            unsafe { one_row!(panel, o.panels, project_tile::<S>(s, o, Place::alone(panel))) }
        }
        return;
    }
    for panel in 0..o.panels {
        let next = (panel + 1 < o.panels).then(|| o.w_panel::<S>(panel + 1));
        for (tile, (row, rows)) in tiles(pairs, S::MR).enumerate() {
            let ahead = Ahead::new::<S>(next, tile, pairs.div_ceil(S::MR), o.input);
            let place = Place { row, panel, ahead };
            // SAFETY: the tile's rows are below `pairs`, the panel below `panels`.
            unsafe { with_rows!(rows, project_tile::<S>(s, o, place)) }
        }
    }
}

/// One step of the first `rows` rows of the block, whose gates start at pair `base`.
///
/// # Safety
/// The first `rows` rows must be of the block and running at this step, and their gates be the pairs from `base` on.
#[inline(always)]
unsafe fn recur<S: Isa>(s: S, o: &Operands<'_>, step: usize, rows: usize, base: usize) {
    // Backward on odd steps: what is still in cache from the last step is met first.
    let at = |i: usize, count: usize| if step.is_multiple_of(2) { i } else { count - 1 - i };
    if rows == 1 {
        let pairs = o.panels.div_ceil(2);
        for i in 0..pairs {
            let panel = 2 * at(i, pairs);
            // SAFETY: row 0 is one of the block's, and the panels are below `panels`.
            unsafe { one_row!(panel, o.panels, recur_tile::<S>(s, o, base, Place::alone(panel))) }
        }
        return;
    }
    for i in 0..o.panels {
        let panel = at(i, o.panels);
        let next = (i + 1 < o.panels).then(|| o.r_panel::<S>(at(i + 1, o.panels)));
        for (tile, (row, count)) in tiles(rows, S::MR).enumerate() {
            let ahead = Ahead::new::<S>(next, tile, rows.div_ceil(S::MR), o.hidden);
            let place = Place { row, panel, ahead };
            // SAFETY: the tile's rows are below `rows`, the panel below `panels`.
            unsafe { with_rows!(count, recur_tile::<S>(s, o, base, place)) }
        }
    }
}

impl Operands<'_> {
    /// W of a panel.
    #[inline(always)]
    fn w_panel<S: Isa>(&self, panel: usize) -> *const f32 {
        self.w.wrapping_add(panel * self.input * GATES * S::LANES)
    }

    /// R of a panel.
    #[inline(always)]
    fn r_panel<S: Isa>(&self, panel: usize) -> *const f32 {
        self.r.wrapping_add(panel * self.hidden * GATES * S::LANES)
    }
}

/// Where a pair's gate is parked: `gates[panel][pair][gate][lane]`.
///
/// # Safety
/// The tile's pairs must be below `chunk` and its panels below `panels`.
#[inline(always)]
unsafe fn gates_at<S: Isa>(o: &Operands<'_>, panel: usize, pair: usize, gate: usize) -> *mut f32 {
    // SAFETY: the gate buffer holds `panels · chunk · 4 · LANES` f32.
    unsafe { o.gates.add(((panel * o.chunk + pair) * GATES + gate) * S::LANES) }
}

/// # Safety
/// The place must lie within the operands: rows below the chunk's pairs, and panels.
#[inline(always)]
unsafe fn project_tile<S: Isa, const M: usize, const P: usize>(s: S, o: &Operands<'_>, at: Place) {
    let mut acc: Acc<S::V, M, P> = [[[s.splat(0.0); GATES]; P]; M];
    for acc in &mut acc {
        for (p, acc) in acc.iter_mut().enumerate() {
            for (g, v) in acc.iter_mut().enumerate() {
                let panel = at.panel + p;
                // SAFETY: the bias holds 4 vectors for each panel.
                *v = unsafe { s.load(o.bias.add((panel * GATES + g) * S::LANES)) };
            }
        }
    }
    let a = std::array::from_fn(|m| o.x.wrapping_add(o.x_offsets[at.row + m]));
    let w = std::array::from_fn(|p| o.w_panel::<S>(at.panel + p));
    // SAFETY: x_offsets point at rows of x, and a panel of W has `input` k.
    let acc = unsafe { accumulate(s, acc, a, w, o.input, at.ahead) };
    for (m, acc) in acc.iter().enumerate() {
        for (p, acc) in acc.iter().enumerate() {
            for (g, &v) in acc.iter().enumerate() {
                // SAFETY: the caller's promise: the tile's pairs are in the gate buffer.
                unsafe { s.store(gates_at::<S>(o, at.panel + p, at.row + m, g), v) }
            }
        }
    }
}

/// # Safety
/// The place must lie within the operands: rows of the block that have a gate pair from `base` on, and panels.
#[inline(always)]
unsafe fn recur_tile<S: Isa, const M: usize, const P: usize>(s: S, o: &Operands<'_>, base: usize, at: Place) {
    let mut acc: Acc<S::V, M, P> = [[[s.splat(0.0); GATES]; P]; M];
    for (m, acc) in acc.iter_mut().enumerate() {
        for (p, acc) in acc.iter_mut().enumerate() {
            for (g, v) in acc.iter_mut().enumerate() {
                // SAFETY: the caller's promise and the invariant of `Operands`.
                *v = unsafe { s.load(gates_at::<S>(o, at.panel + p, base + at.row + m, g)) };
            }
        }
    }
    let a = std::array::from_fn(|m| o.h.wrapping_add((at.row + m) * o.row));
    let r = std::array::from_fn(|p| o.r_panel::<S>(at.panel + p));
    // SAFETY: a row of h and a panel of R have `hidden` k.
    let acc = unsafe { accumulate(s, acc, a, r, o.hidden, at.ahead) };
    for (m, acc) in acc.iter().enumerate() {
        for (p, &acc) in acc.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { finish(s, o, at.row + m, at.panel + p, acc) }
        }
    }
}

/// The cell of one row and panel: reads c, writes c, the next h and y.
///
/// # Safety
/// `row` must be one of the block's and running at this step, `panel` below `panels`.
#[inline(always)]
unsafe fn finish<S: Isa>(s: S, o: &Operands<'_>, row: usize, panel: usize, acc: [S::V; GATES]) {
    let at = row * o.row + panel * S::LANES;
    // SAFETY: a state row holds whole panels. The row is running, so its time step is one of y's, whose row holds
    // `hidden` f32: `left` of them from this panel on.
    unsafe {
        let c = o.c.add(at);
        let (cell, h) = lstm::epilogue(s, acc, s.load(c));
        s.store(c, cell);
        s.store(o.h_next.add(at), h);
        let Some(y) = &o.y else { return };
        let to = y.row(row).wrapping_add(panel * S::LANES);
        let left = o.hidden - panel * S::LANES;
        if left >= S::LANES {
            s.store(to, h);
        } else {
            // The last panel is padded, y's rows are not.
            std::ptr::copy_nonoverlapping(o.h_next.add(at), to, left);
        }
    }
}
