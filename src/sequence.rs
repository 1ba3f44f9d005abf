//! What a forward call reads and writes in addition to the state: input, output, lengths, layout, and its threads.

use crate::error::axes;
use crate::{Error, Shape};
use rnnpack_kernels::{Dims, Element, Error as KernelError, Layout, Stop, View, ViewMut};

/// Input and output of a forward call, with their options. T is the number of time steps, B of batch rows, D of
/// directions; I is the input size and H the hidden size.
///
/// Dense tensors are the common case. B is the batch of the state, and T follows from the number of elements of x.
///
/// | | x | y | y, [`concatenated`](Sequence::concatenated) |
/// |---|---|---|---|
/// | time-major (the default, and ONNX's `layout = 0`) | `[T, B, I]` | `[T, D, B, H]` | `[T, B, D·H]` |
/// | [`batch_major`](Sequence::batch_major) (ONNX's `layout = 1`) | `[B, T, I]` | `[B, T, D, H]` | `[B, T, D·H]`: the same memory |
///
/// With one direction, the first and the third column of y are the same. **With two directions they differ**: PyTorch
/// and Keras have `[T, B, 2·H]`, ONNX has `[T, 2, B, H]`.
///
/// For any other placement in memory, use [`views`](Sequence::views).
///
/// ```
/// use rnnpack::{LayerWeights, Sequence, Threads};
///
/// # fn main() -> Result<(), rnnpack::Error> {
/// let (w, r) = (vec![0.1; 2 * 3 * 5 * 3], vec![-0.1; 2 * 3 * 5 * 5]);
/// let gru = LayerWeights::gru(3, 5).bidirectional().w(&w).r(&r).pack()?;
///
/// // Two sequences of 4 and 2 steps: x [B, T, I], y [B, T, D, H].
/// let (x, mut y) = (vec![1.0; 2 * 4 * 3], vec![f32::NAN; 2 * 4 * 2 * 5]);
/// let sequence = Sequence::dense(&x, &mut y).lens(&[4, 2]).batch_major().threads(Threads::Pool);
/// gru.stream(2)?.run(sequence)?;
/// assert!(y[(4 + 2) * 2 * 5..].iter().all(|&v| v == 0.0)); // beyond the end of the second
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a sequence is given to `forward` or `run`"]
pub struct Sequence<'a, F = f32> {
    form: Form<'a, F>,
    lens: Option<&'a [i32]>,
    threads: Threads,
    stop: Option<Stop<'a>>,
}

/// The tensors of a sequence. Their extents may be unknown until the layer and the state are known.
#[derive(Debug)]
enum Form<'a, F> {
    Dense(Dense<'a, F>),
    Views {
        x: View<'a, F>,
        y: Option<ViewMut<'a, F>>,
        /// The method that set a layout. A call with such views is refused, since the strides of a view are its
        /// layout.
        layout: Option<&'static str>,
    },
}

#[derive(Debug)]
struct Dense<'a, F> {
    x: &'a [F],
    y: Option<&'a mut [F]>,
    layout: Layout,
    concatenated: bool,
}

/// How many threads a forward call may take. Results have the same bits for every choice.
///
/// The batch rows are split into even shares, at most as many as the current rayon pool has threads. The calling thread
/// runs one of them. Fewer threads take part if the shares would be too small to gain. Directions run one after the
/// other. Without the feature `rayon`, everything runs on the calling thread. So do layers of doubles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Threads {
    /// Only the calling thread. A call allocates nothing if a call of the same size ran before.
    #[default]
    Caller,
    /// At most this many threads of the pool, including the calling one. The calling thread always takes part, so 0
    /// means 1.
    AtMost(usize),
    /// As many threads as the pool has, including the calling one.
    Pool,
}

impl<'a, F: Element> Sequence<'a, F> {
    /// Dense x `[T, B, I]` and y `[T, D, B, H]`.
    ///
    /// With two directions, PyTorch's output is a different tensor, `[T, B, 2·H]`.
    /// [`concatenated`](Sequence::concatenated) writes it.
    pub fn dense(x: &'a [F], y: &'a mut [F]) -> Sequence<'a, F> {
        Sequence::of(Form::Dense(Dense { x, y: Some(y), layout: Layout::TimeMajor, concatenated: false }))
    }

    /// Dense x `[T, B, I]` without y: only the final state is computed.
    pub fn input(x: &'a [F]) -> Sequence<'a, F> {
        Sequence::of(Form::Dense(Dense { x, y: None, layout: Layout::TimeMajor, concatenated: false }))
    }

    /// Tensors anywhere in memory: x with the extents `[T, 1, B, I]`, and an optional y with the extents
    /// `[T, D, B, H]`.
    pub fn views(x: View<'a, F>, y: Option<ViewMut<'a, F>>) -> Sequence<'a, F> {
        Sequence::of(Form::Views { x, y, layout: None })
    }

    fn of(form: Form<'a, F>) -> Sequence<'a, F> {
        Sequence { form, lens: None, threads: Threads::Caller, stop: None }
    }

    /// Sets the number of steps of each batch row, `[B]`, from 0 to T, as ONNX's `sequence_lens`. Without it, all
    /// rows have T steps. A row's final state is the state after its last step. A reverse direction starts at that
    /// step. The row's y beyond that step is zero.
    pub fn lens(self, lens: &'a [i32]) -> Sequence<'a, F> {
        self.optional_lens(Some(lens))
    }

    /// [`lens`](Sequence::lens), with lengths that are optional.
    pub fn optional_lens(self, lens: Option<&'a [i32]>) -> Sequence<'a, F> {
        Sequence { lens, ..self }
    }

    /// Dense tensors have B outermost: x `[B, T, I]`, y `[B, T, D, H]`. Views are refused, since their strides are
    /// their layout.
    pub fn batch_major(self) -> Sequence<'a, F> {
        self.laid_out("batch_major", |dense| dense.layout = Layout::BatchMajor)
    }

    /// Each row of dense y holds the directions one after the other, as in PyTorch: `[T, B, D·H]`, or `[B, T, D·H]`
    /// if batch-major. Views are refused: give y the strides of [`Dims::concatenated`].
    pub fn concatenated(self) -> Sequence<'a, F> {
        self.laid_out("concatenated", |dense| dense.concatenated = true)
    }

    /// Sets how many threads the call may take. The default is only the calling thread.
    pub fn threads(self, threads: Threads) -> Sequence<'a, F> {
        Sequence { threads, ..self }
    }

    /// Sets how the call can be stopped. `stop` is asked before every chunk of time steps, on every thread of the call,
    /// and for each layer of a stack. Once it returns true, the call ends with [`Error::Stopped`]. The state is then as
    /// it was before the call, and y holds numbers without a meaning. A chunk is 16 steps or more of large layers, and
    /// more of small ones: some 100 µs of work, or the steps that it takes to use the cores well.
    ///
    /// ```
    /// use rnnpack::{Error, LayerWeights, Sequence};
    /// use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let lstm = LayerWeights::lstm(1, 2).w(&[0.5; 8]).r(&[0.5; 16]).pack()?;
    /// let cancelled = AtomicBool::new(false); // shared with the thread that may set it
    /// let stop = || cancelled.load(Relaxed);
    /// let mut s = lstm.stream(1)?;
    /// let (x, mut y) = ([1.0; 1000], [0.0; 2000]);
    /// s.run(Sequence::dense(&x, &mut y).stop(&stop))?;
    ///
    /// cancelled.store(true, Relaxed);
    /// let before = s.state().clone();
    /// assert!(matches!(s.run(Sequence::dense(&x, &mut y).stop(&stop)), Err(Error::Stopped)));
    /// assert_eq!(s.state(), &before);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop(self, stop: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Sequence { stop: Some(Stop(stop)), ..self }
    }

    fn laid_out(mut self, what: &'static str, say: impl FnOnce(&mut Dense<'a, F>)) -> Sequence<'a, F> {
        match &mut self.form {
            Form::Dense(dense) => say(dense),
            Form::Views { layout, .. } => *layout = Some(what),
        }
        self
    }

    /// The tensors for a network of this shape and a state of `batch` rows.
    #[inline]
    pub(crate) fn views_of(self, shape: Shape, batch: usize) -> Result<Views<'a, F>, Error> {
        let Sequence { form, lens, threads, stop } = self;
        let (x, y) = match form {
            Form::Dense(dense) => dense.views(shape, batch)?,
            Form::Views { layout: Some(option), .. } => return Err(Error::ViewLayout { option }),
            Form::Views { x, y, layout: None } => (x, y),
        };
        Ok(Views { x, y, lens, threads, stop })
    }
}

/// A sequence whose extents are known.
pub(crate) struct Views<'a, F = f32> {
    pub(crate) x: View<'a, F>,
    pub(crate) y: Option<ViewMut<'a, F>>,
    pub(crate) lens: Option<&'a [i32]>,
    pub(crate) threads: Threads,
    pub(crate) stop: Option<Stop<'a>>,
}

impl<'a, F: Element> Views<'a, F> {
    /// One step of `batch` rows: `x` is dense `[B, I]`, `y` is dense `[D, B, H]`.
    #[inline]
    pub(crate) fn one_step(
        Shape { input, hidden, direction }: Shape,
        batch: usize,
        x: &'a [F],
        y: &'a mut [F],
    ) -> Result<Views<'a, F>, Error> {
        let dims = Dims { time: 1, directions: 1, batch, width: input };
        let out = Dims { directions: direction.count(), width: hidden, ..dims };
        let of_x = || axes([("B", batch), ("I", input)]);
        let of_y = || axes([("D", out.directions), ("B", batch), ("H", hidden)]);
        Ok(Views {
            x: View::new(x, dims, Layout::TimeMajor).map_err(|e| of_buffer(e, "x", of_x))?,
            y: Some(ViewMut::new(y, out, Layout::TimeMajor).map_err(|e| of_buffer(e, "y", of_y))?),
            lens: None,
            threads: Threads::Caller,
            stop: None,
        })
    }
}

impl<'a, F: Element> Dense<'a, F> {
    #[inline]
    fn views(self, shape: Shape, batch: usize) -> Result<(View<'a, F>, Option<ViewMut<'a, F>>), Error> {
        let time = self.steps(shape, batch)?;
        let Dense { x, y, layout, concatenated } = self;
        let Shape { input, hidden, direction } = shape;
        let dims = Dims { time, directions: 1, batch, width: input };
        let out = Dims { directions: direction.count(), width: hidden, ..dims };
        let x = View::new(x, dims, layout).map_err(|e| of_buffer(e, "x", || x_axes(layout, dims)))?;
        let y = y.map(|y| {
            let view = match concatenated {
                true => concatenated_view(y, out, layout),
                false => ViewMut::new(y, out, layout),
            };
            view.map_err(|e| of_buffer(e, "y", || y_axes(layout, concatenated, out)))
        });
        Ok((x, y.transpose()?))
    }

    /// T, from the elements of x; from those of y if the rows of x have no elements.
    #[inline]
    fn steps(&self, Shape { input, hidden, direction }: Shape, batch: usize) -> Result<usize, Error> {
        let axes = || format!("[T, B, I] = [T, {batch}, {input}]");
        if let Some(steps) = whole_steps("x", self.x.len(), batch.checked_mul(input), axes)? {
            return Ok(steps);
        }
        let directions = direction.count();
        let axes = || format!("[T, D, B, H] = [T, {directions}, {batch}, {hidden}]");
        let step = batch.checked_mul(directions).and_then(|rows| rows.checked_mul(hidden));
        let of_y = self.y.as_ref().map(|y| whole_steps("y", y.len(), step, axes)).transpose()?;
        match of_y.flatten() {
            Some(steps) => Ok(steps),
            // Without rows there is nothing to compute.
            None if batch == 0 => Ok(0),
            None => Err(Error::UnknownTime),
        }
    }
}

/// A dense tensor of concatenated directions, `[T, B, D·width]` or `[B, T, D·width]`.
fn concatenated_view<F: Element>(
    data: &mut [F],
    dims: Dims,
    layout: Layout,
) -> Result<ViewMut<'_, F>, KernelError> {
    let strides = dims.concatenated(layout)?;
    match dims.checked_len() {
        Some(expected) if expected != data.len() => {
            Err(KernelError::Length { what: "tensor data", expected, got: data.len() })
        }
        _ => ViewMut::strided(data, dims, strides),
    }
}

/// The number of steps of `step` elements in `got` elements; `None` if a step has no elements.
#[inline]
fn whole_steps(
    buffer: &'static str,
    got: usize,
    step: Option<usize>,
    axes: impl FnOnce() -> String,
) -> Result<Option<usize>, Error> {
    match step.ok_or(KernelError::Overflow { what: buffer })? {
        0 if got == 0 => Ok(None),
        0 => Err(Error::Elements { buffer: buffer.into(), got, expected: 0, shape: axes() }),
        step if got.is_multiple_of(step) => Ok(Some(got / step)),
        step => Err(Error::Steps { buffer, got, step, shape: axes() }),
    }
}

/// An error of a view, in terms of the buffer that the view is made of.
fn of_buffer(error: KernelError, buffer: &'static str, axes: impl FnOnce() -> String) -> Error {
    match error {
        KernelError::Length { expected, got, .. } => {
            Error::Elements { buffer: buffer.into(), got, expected, shape: axes() }
        }
        KernelError::Overflow { .. } => KernelError::Overflow { what: buffer }.into(),
        error => error.into(),
    }
}

fn x_axes(layout: Layout, Dims { time, batch, width, .. }: Dims) -> String {
    let (t, b, i) = (("T", time), ("B", batch), ("I", width));
    match layout {
        Layout::TimeMajor => axes([t, b, i]),
        Layout::BatchMajor => axes([b, t, i]),
    }
}

fn y_axes(layout: Layout, concatenated: bool, Dims { time, directions, batch, width }: Dims) -> String {
    let (t, b, d, h) = (("T", time), ("B", batch), ("D", directions), ("H", width));
    let row = ("D·H", directions.saturating_mul(width));
    match (layout, concatenated) {
        (Layout::TimeMajor, false) => axes([t, d, b, h]),
        (Layout::TimeMajor, true) => axes([t, b, row]),
        (Layout::BatchMajor, false) => axes([b, t, d, h]),
        (Layout::BatchMajor, true) => axes([b, t, row]),
    }
}
