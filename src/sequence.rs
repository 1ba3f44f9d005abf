//! What a forward call reads and writes beside the state: input, output, lengths, layout, and the threads it may take.

use crate::error::axes;
use crate::{Error, Shape};
use rnnpack_kernels::{Dims, Element, Error as KernelError, Layout, View, ViewMut};

/// Input and output of a forward call, with what there is to say about them. T, B, D, I, H are time steps, batch rows,
/// directions, input size and hidden size.
///
/// Dense tensors are the common case: B is that of the state, T follows from the number of elements of x.
///
/// | | x | y | y, [`concatenated`](Sequence::concatenated) |
/// |---|---|---|---|
/// | time-major (the default, and ONNX's `layout = 0`) | `[T, B, I]` | `[T, D, B, H]` | `[T, B, D·H]` |
/// | [`batch_major`](Sequence::batch_major) (ONNX's `layout = 1`) | `[B, T, I]` | `[B, T, D, H]` | `[B, T, D·H]`: the same memory |
///
/// With one direction the first and the third column of y are the same. **With two they are not**: PyTorch and Keras have
/// `[T, B, 2·H]` where ONNX has `[T, 2, B, H]`.
///
/// Any other placement in memory is a pair of [`views`](Sequence::views).
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
}

/// The tensors of a sequence, as far as they are known before the layer and the state are.
#[derive(Debug)]
enum Form<'a, F> {
    Dense(Dense<'a, F>),
    Views {
        x: View<'a, F>,
        y: Option<ViewMut<'a, F>>,
        /// What was said about the layout, which the strides have said already.
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

/// How many threads a forward call may take. Results have the same bits whatever it says.
///
/// The batch rows are shared out evenly over the current rayon pool, the calling thread among them; fewer threads take
/// part where the shares would be too small to gain. Directions run one after the other. Without the feature `rayon` all
/// runs on the calling thread, and so do layers of doubles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Threads {
    /// The calling thread alone: a call that works allocates nothing after one of the same size.
    #[default]
    Caller,
    /// At most so many threads of the pool, the calling one among them (which always takes part: 0 is as 1).
    AtMost(usize),
    /// As many as the pool has.
    Pool,
}

impl<'a, F: Element> Sequence<'a, F> {
    /// Dense x `[T, B, I]` and y `[T, D, B, H]`.
    ///
    /// With two directions PyTorch's output is another tensor: `[T, B, 2·H]`, which
    /// [`concatenated`](Sequence::concatenated) writes.
    pub fn dense(x: &'a [F], y: &'a mut [F]) -> Sequence<'a, F> {
        Sequence::of(Form::Dense(Dense { x, y: Some(y), layout: Layout::TimeMajor, concatenated: false }))
    }

    /// Dense x `[T, B, I]` alone, where the final state is all that is wanted.
    pub fn input(x: &'a [F]) -> Sequence<'a, F> {
        Sequence::of(Form::Dense(Dense { x, y: None, layout: Layout::TimeMajor, concatenated: false }))
    }

    /// Tensors anywhere in memory: x of the extents `[T, 1, B, I]`, and y `[T, D, B, H]` where it is wanted.
    pub fn views(x: View<'a, F>, y: Option<ViewMut<'a, F>>) -> Sequence<'a, F> {
        Sequence::of(Form::Views { x, y, layout: None })
    }

    fn of(form: Form<'a, F>) -> Sequence<'a, F> {
        Sequence { form, lens: None, threads: Threads::Caller }
    }

    /// Steps of each batch row, `[B]`, 0 to T, as ONNX's `sequence_lens`; all have T where they are not given. A row's final
    /// state is that of its last step, its reverse direction starts there, and its y beyond is zero.
    pub fn lens(self, lens: &'a [i32]) -> Sequence<'a, F> {
        self.optional_lens(Some(lens))
    }

    /// As [`lens`](Sequence::lens), where there may be none.
    pub fn optional_lens(self, lens: Option<&'a [i32]>) -> Sequence<'a, F> {
        Sequence { lens, ..self }
    }

    /// Dense tensors have B outermost: x `[B, T, I]`, y `[B, T, D, H]`. Views are refused, since strides say it.
    pub fn batch_major(self) -> Sequence<'a, F> {
        self.laid_out("batch_major", |dense| dense.layout = Layout::BatchMajor)
    }

    /// The directions of dense y stand side by side in a row, as PyTorch has them: `[T, B, D·H]`, or `[B, T, D·H]`
    /// batch-major. Views are refused: give y the strides of [`Dims::concatenated`].
    pub fn concatenated(self) -> Sequence<'a, F> {
        self.laid_out("concatenated", |dense| dense.concatenated = true)
    }

    /// How many threads the call may take; the calling one alone where nothing is said.
    pub fn threads(self, threads: Threads) -> Sequence<'a, F> {
        Sequence { threads, ..self }
    }

    fn laid_out(mut self, what: &'static str, say: impl FnOnce(&mut Dense<'a, F>)) -> Sequence<'a, F> {
        match &mut self.form {
            Form::Dense(dense) => say(dense),
            Form::Views { layout, .. } => *layout = Some(what),
        }
        self
    }

    /// The tensors as a network of this shape and a state of `batch` rows see them.
    #[inline]
    pub(crate) fn views_of(self, shape: Shape, batch: usize) -> Result<Views<'a, F>, Error> {
        let Sequence { form, lens, threads } = self;
        let (x, y) = match form {
            Form::Dense(dense) => dense.views(shape, batch)?,
            Form::Views { layout: Some(option), .. } => return Err(Error::ViewLayout { option }),
            Form::Views { x, y, layout: None } => (x, y),
        };
        Ok(Views { x, y, lens, threads })
    }
}

/// A sequence whose extents are known.
pub(crate) struct Views<'a, F = f32> {
    pub(crate) x: View<'a, F>,
    pub(crate) y: Option<ViewMut<'a, F>>,
    pub(crate) lens: Option<&'a [i32]>,
    pub(crate) threads: Threads,
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

    /// T, from the elements of x; from those of y where the rows of x have none.
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

/// Steps of `step` elements that `got` elements are; `None` where a step has none.
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

/// An error of a view, told about the buffer that it was to be over.
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
