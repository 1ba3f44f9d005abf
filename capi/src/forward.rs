//! Forward calls: a layer over sequences.

use crate::lent::{self, Lent, Span};
use crate::parts::{Parts, Rows};
use crate::scratch::Working;
use crate::state::Memory;
use crate::{Failure, LayerHandle, RNNPACK_SHAPE, ScratchHandle, StateHandle, Status, status};
use rnnpack::{Dims, Error, Layout, Sequence, StackState, Strides, Threads, View, ViewMut};
use std::sync::atomic::{AtomicI32, Ordering};

/// Layout: x is [T, B, I], y is [T, D, B, H].
pub const RNNPACK_TIME_MAJOR: i32 = 0;
/// Layout: x is [B, T, I], y is [B, T, D, H].
pub const RNNPACK_BATCH_MAJOR: i32 = 1;

/// Threads: the calling thread alone.
pub const RNNPACK_THREADS_NONE: i32 = 0;
/// Threads: the rows of the batch are shared out over a pool that the process has once, with a thread for each CPU (or as
/// many as the variable RAYON_NUM_THREADS says). It starts with the first call that has work for it. A call of little work
/// stays on the calling thread; so does every call in a child process of one that has started the pool. Results have the same
/// bits. Not for real time.
pub const RNNPACK_THREADS_POOL: i32 = 1;

/// A call of rnnpack_forward. Set all of it to zero first, then size and what the call has.
///
/// T, B, D, I, H are time steps, batch rows, directions, input size, hidden size. Strides are distances in elements from
/// the start of one row to that of the next along an axis; the I or H elements of a row are neighbours. Where all strides
/// of x (or of y) are 0 it is dense in the given layout, and its count is exactly its number of elements. Else
/// its count says how far it may be accessed, and the layout is not used.
///
/// What is written (y, final_h, final_c) overlaps nothing else of the call; but final_h and final_c may be initial_h and
/// initial_c.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ForwardDesc {
    /// sizeof(rnnpack_forward_desc).
    pub size: usize,
    /// T.
    pub time: usize,
    /// B, that of the state.
    pub batch: usize,
    /// RNNPACK_TIME_MAJOR or RNNPACK_BATCH_MAJOR.
    pub layout: i32,
    /// RNNPACK_THREADS_NONE or RNNPACK_THREADS_POOL.
    pub threads: i32,
    /// The input.
    pub x: *const f32,
    /// Its elements; all count as read, those between rows too.
    pub x_count: usize,
    /// From one step to the next.
    pub x_time_stride: usize,
    /// From one batch row to the next.
    pub x_batch_stride: usize,
    /// The output: h of every step. NULL: not wanted.
    pub y: *mut f32,
    /// Its elements. What lies between its rows is not touched, and may belong to other threads.
    pub y_count: usize,
    /// From one step to the next.
    pub y_time_stride: usize,
    /// From direction 0 to direction 1.
    pub y_direction_stride: usize,
    /// From one batch row to the next.
    pub y_batch_stride: usize,
    /// Steps of each batch row, 0 to T. A row's final state is that of its last step, and y is 0 beyond. NULL: all have T.
    pub lens: *const i32,
    /// Its elements: B.
    pub lens_count: usize,
    /// Initial h [D, B, H], of a stack those of the layers one after the other; replaces that of the state, also where the
    /// call then fails. NULL: the state's.
    pub initial_h: *const f32,
    /// Takes a copy of the final h, which the state has too. NULL: not wanted.
    pub final_h: *mut f32,
    /// Elements of each of initial_h and final_h that is not NULL: B times the layer's h_per_row.
    pub h_count: usize,
    /// Initial c, likewise; of an LSTM.
    pub initial_c: *const f32,
    /// Takes a copy of the final c, likewise; of an LSTM.
    pub final_c: *mut f32,
    /// Elements of each of initial_c and final_c that is not NULL: B times the layer's c_per_row.
    pub c_count: usize,
    /// Another thread may write a number other than 0 here to stop the call. It is read at the start and once in each chunk of
    /// time steps (16 or more of large layers, some 100 microseconds of small ones), as an atomic number. NULL: nobody stops it.
    pub stop: *const i32,
}

// SAFETY: zeros are numbers and NULL pointers.
unsafe impl lent::Structure for ForwardDesc {}

impl ForwardDesc {
    /// Runs the call.
    ///
    /// # Safety
    /// The contract holds for everything that the call points to.
    unsafe fn run(
        &self,
        layer: &LayerHandle,
        memory: &mut Memory,
        scratch: &mut Working,
    ) -> Result<(), Failure> {
        let threads = lent::choice(self.threads, "threads", &[Threads::Caller, Threads::Pool])?;
        let layout = lent::choice(self.layout, "layout", &[Layout::TimeMajor, Layout::BatchMajor])?;
        let shape = layer.shape;
        let directions = shape.direction.count();
        let of_x = Dims { time: self.time, directions: 1, batch: self.batch, width: shape.input };
        let of_y = Dims { directions, width: shape.hidden, ..of_x };
        let x = Lent::new(self.x, self.x_count, "x")?;
        let y = Lent::optional(self.y, self.y_count, "y")?;
        let lens = Lent::optional(self.lens, self.lens_count, "lens")?;
        let stop = Lent::optional(self.stop, usize::from(!self.stop.is_null()), "stop")?;
        let [initial, last] = self.states(memory)?;
        check_overlap(
            [Some(x.span()), lens.map(Lent::span), stop.map(Lent::span)],
            y.map(Lent::span),
            [initial.spans(), last.spans()],
        )?;
        // SAFETY: by the contract; `check_overlap` made sure that y overlaps nothing else that the call reads and
        // writes.
        let (x, y, lens) = unsafe {
            let x = self.input(x, of_x, layout)?;
            let y = y.map(|y| self.output(y, of_y, layout)).transpose()?;
            (x, y, lens.map(|lens| lens.slice()))
        };
        // SAFETY: by the contract.
        unsafe { initial.write(memory) };
        // SAFETY: by the contract, it is a number that others write only as an atomic one.
        let flag = stop.map(|stop| unsafe { AtomicI32::from_ptr(stop.start.as_ptr()) });
        let stop = || flag.is_some_and(|flag| flag.load(Ordering::Relaxed) != 0);
        let sequence = Sequence::views(x, y).optional_lens(lens).threads(threads);
        let sequence = if flag.is_some() { sequence.stop(&stop) } else { sequence };
        forward(layer, sequence, &mut memory.state, scratch)?;
        // SAFETY: by the contract.
        unsafe { last.read(memory) };
        Ok(())
    }

    /// The input in the caller's memory.
    ///
    /// # Safety
    /// The contract holds for everything that the call points to.
    unsafe fn input<'a>(&self, x: Lent<f32>, dims: Dims, layout: Layout) -> Result<View<'a>, Failure> {
        let strides = Strides { time: self.x_time_stride, direction: 0, batch: self.x_batch_stride };
        let strides = placement("x", strides, dims, layout, x.count)?;
        // SAFETY: by the contract.
        Ok(View::strided(unsafe { x.slice() }, dims, strides)?)
    }

    /// The output in the caller's memory.
    ///
    /// # Safety
    /// The contract holds for everything that the call points to, and nothing else of the call overlaps y.
    unsafe fn output<'a>(&self, y: Lent<f32>, dims: Dims, layout: Layout) -> Result<ViewMut<'a>, Failure> {
        let (time, batch) = (self.y_time_stride, self.y_batch_stride);
        let strides = Strides { time, direction: self.y_direction_stride, batch };
        let strides = placement("y", strides, dims, layout, y.count)?;
        // SAFETY: by the contract and the caller.
        Ok(unsafe { ViewMut::from_raw(y.start.as_ptr(), y.count, dims, strides) }?)
    }

    /// The caller's initial and final states.
    fn states(&self, memory: &Memory) -> Result<[Parts; 2], Failure> {
        let both = |h: *const f32, c: *const f32, [of_h, of_c]: [&'static str; 2]| {
            let count = |start: *const f32, count| if start.is_null() { 0 } else { count };
            let given = [(h, count(h, self.h_count), of_h), (c, count(c, self.c_count), of_c)];
            Parts::new(memory, Rows::All, given)
        };
        let initial = both(self.initial_h, self.initial_c, ["initial_h", "initial_c"])?;
        Ok([initial, both(self.final_h, self.final_c, ["final_h", "final_c"])?])
    }
}

/// Refuses memory that a call writes, y and the final states, if it overlaps other memory of the call. `inputs` are
/// what it only reads.
fn check_overlap(
    [x, lens, stop]: [Option<Span>; 3],
    y: Option<Span>,
    [[initial_h, initial_c], [final_h, final_c]]: [[Option<Span>; 2]; 2],
) -> Result<(), Failure> {
    if let Some(y) = y {
        y.apart_from([x, lens, stop, initial_h, initial_c, final_h, final_c])?;
    }
    if let Some(final_h) = final_h {
        final_h.apart_from([x, lens, stop, final_c, initial_c])?;
    }
    final_c.map_or(Ok(()), |final_c| final_c.apart_from([x, lens, stop, initial_h]))
}

/// The given strides of a tensor. If all are 0, the strides of a dense tensor, which must have exactly `count`
/// elements.
fn placement(
    what: &'static str,
    given: Strides,
    dims: Dims,
    layout: Layout,
    count: usize,
) -> Result<Strides, Failure> {
    if given != (Strides { time: 0, direction: 0, batch: 0 }) {
        return Ok(given);
    }
    let strides = dims.dense(layout)?;
    match dims.checked_len() {
        Some(expected) if expected != count => Err(Failure::new(
            RNNPACK_SHAPE,
            format_args!("{what} has {count} elements where the shapes call for {expected}"),
        )),
        _ => Ok(strides),
    }
}

/// Runs a layer over sequences, from the state's h and c (or the initial ones given) to the final ones, which are left in
/// the state (and copied to where desc says). A sequence may come in any chunks of time, one call after the other.
///
/// The same bits come out for a row whatever the batch around it, the chunks, the threads, the thread's floating-point
/// environment, and the instruction set, as long as that has fused multiply-adds.
///
/// Fails with RNNPACK_SHAPE, RNNPACK_OVERLAP and others before anything but initial_h and initial_c was taken;
/// y and the final states are not written then. After RNNPACK_MEMORY of a call with RNNPACK_THREADS_POOL the state and y are
/// unspecified. After RNNPACK_STOPPED the state is as when the call began (with initial_h and initial_c where they were given),
/// final_h and final_c are not written, and y holds any numbers.
/// Threads: any number at once on one layer; one at a time on one state and on one scratch, else RNNPACK_BUSY.
/// Real time: with RNNPACK_THREADS_NONE a call neither allocates, locks, enters the system nor waits, after one of any thread that
/// worked with the same layer and scratch, at least as many time steps and rows, and a stop if this has one. A call that is
/// refused does not either, warmed up or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_forward(
    layer: *const LayerHandle,
    state: *mut StateHandle,
    scratch: *mut ScratchHandle,
    desc: *const ForwardDesc,
) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe {
        let layer = lent::handle(layer, "layer")?;
        let mut memory = lent::handle(state, "state")?.lock_for(layer)?;
        let mut scratch = lent::handle(scratch, "scratch")?.lock()?;
        lent::read(desc, "desc")?.run(layer, &mut memory, &mut scratch)
    })
}

/// Runs a sequence through a layer or a stack.
pub(crate) fn forward(
    LayerHandle { stack, .. }: &LayerHandle,
    sequence: Sequence<'_>,
    state: &mut StackState,
    scratch: &mut Working,
) -> Result<(), Error> {
    match (stack.layers(), state.layers_mut()) {
        ([layer], [state]) => layer.forward(sequence, state, &mut scratch.layer),
        _ => stack.forward(sequence, state, &mut scratch.stack),
    }
}
