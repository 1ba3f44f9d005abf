//! Fuzzes the kernels against the naive reference.
//!
//! Cells, options, sizes, types of weights, given scales, lengths, layouts, blocking, chunks and contents are arbitrary.
//! Contents include NaN, infinities and subnormals. All instruction sets and dot products of this machine run.
#![no_main]

#[path = "differential/draw.rs"]
mod draw;

use draw::{Case, is_usable};
use libfuzzer_sys::fuzz_target;
use rnnpack_dev::bound::Bounded;
use rnnpack_kernels::blocking::Blocking;
use rnnpack_kernels::compare::within;
use rnnpack_kernels::{
    Call, Cell, Dims, Dots, Error, PackedWeights, Scales, Scratch, Strides, Subnormals, Tensors, Variant,
    View, ViewMut, WeightType, Weights, forward, reference,
};

const SENTINEL: f32 = f32::from_bits(0x7fc0_5e27);

/// The dense rows of Y, and the final h and c.
type Results<F = f32> = [Vec<F>; 3];
const NAMES: [&str; 3] = ["Y", "Y_h", "Y_c"];

/// Whether the bits are equal, or both values are NaN. A NaN of the kernel must have been computed: it may not be the
/// sentinel.
fn agree(a: f32, b: f32) -> bool {
    let left = |x: f32| x.to_bits() == SENTINEL.to_bits();
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan() && left(a) == left(b)
}

/// The operands of a call, in their places in memory.
struct Operands<'a> {
    case: &'a Case,
    weights: Weights<'a>,
    x: Vec<f32>,
    x_strides: Strides,
    h: Vec<f32>,
    c: Vec<f32>,
}

impl<'a> Operands<'a> {
    /// Places X in its layout, with gaps after its rows. The gaps hold NaN.
    fn new(case: &'a Case, weights: Weights<'a>, [x, h, c]: Results) -> Operands<'a> {
        let Case { input, time, batch, .. } = *case;
        let row = input + case.gaps[0];
        let x_strides = match case.batch_major {
            true => Strides { time: row, direction: 0, batch: row * time },
            false => Strides { time: row * batch, direction: 0, batch: row },
        };
        let mut placed = vec![SENTINEL; row * time * batch];
        for (t, b) in (0..time).flat_map(|t| (0..batch).map(move |b| (t, b))) {
            let at = t * x_strides.time + b * x_strides.batch;
            placed[at..][..input].copy_from_slice(&x[(t * batch + b) * input..][..input]);
        }
        Operands { case, weights, x: placed, x_strides, h, c }
    }

    /// Steps `first` to `end` of X.
    fn x(&self, first: usize, end: usize) -> View<'_> {
        let Case { input, batch, .. } = *self.case;
        let dims = Dims { time: end - first, directions: 1, batch, width: input };
        let from = (first * self.x_strides.time).min(self.x.len());
        View::strided(&self.x[from..], dims, self.x_strides).unwrap()
    }

    /// The results of the reference, or its refusal.
    fn expected<F: reference::Real + From<f32>>(&self) -> Result<Results<F>, Error> {
        let Case { time, reverse, .. } = *self.case;
        let convert = |v: &[f32]| v.iter().map(|&v| F::from_f32(v)).collect::<Vec<F>>();
        let (mut h, mut c) = (convert(&self.h), convert(&self.c));
        let (x, lens) = (self.x(0, time), self.case.lens.as_deref());
        let y = reference::forward(&self.weights, x, lens, reverse, &mut h, &mut c)?;
        Ok([y, h, c])
    }

    /// Runs steps `first` to `end` on the kernels. The call updates the state `[h, c]` and writes rows of Y with gaps
    /// after them.
    fn run(
        &self,
        packed: &PackedWeights,
        [first, end]: [usize; 2],
        results: &mut Results,
    ) -> Result<(), Error> {
        let Case { hidden, time, batch, reverse, blocking, .. } = *self.case;
        let lens = self.case.lens.as_ref().map(|lens| {
            let whole = [first, end] == [0, time];
            let within = |&len: &i32| (len - first as i32).clamp(0, (end - first) as i32);
            if whole { lens.clone() } else { lens.iter().map(within).collect() }
        });
        let row = hidden + self.case.gaps[1];
        let strides = Strides { time: row * batch, direction: 0, batch: row };
        let dims = Dims { time: end - first, directions: 1, batch, width: hidden };
        let [y, h, c] = results;
        let y = &mut y[first * strides.time..end * strides.time];
        let (y, lens) = (Some(ViewMut::strided(y, dims, strides).unwrap()), lens.as_deref());
        let call = Call { x: self.x(first, end), y, lens, reverse, h, c, blocking, stop: None };
        forward(packed, call, &mut Scratch::new())
    }

    /// The results before a call: Y in its place, and the initial state.
    fn untouched(&self) -> Results {
        let Case { hidden, time, batch, gaps, .. } = *self.case;
        [vec![SENTINEL; (hidden + gaps[1]) * time * batch], self.h.clone(), self.c.clone()]
    }

    /// The rows of Y without their gaps. Checks that nothing was written to the gaps.
    fn without_gaps(&self, variant: Variant, [y, h, c]: Results) -> Results {
        let Case { hidden, gaps, .. } = *self.case;
        let mut rows = vec![];
        for row in y.chunks(hidden + gaps[1]) {
            let (row, gap) = row.split_at(hidden);
            assert!(gap.iter().all(|v| v.to_bits() == SENTINEL.to_bits()), "{variant}: wrote beside Y");
            rows.extend_from_slice(row);
        }
        [rows, h, c]
    }

    /// Makes one call. A refusal must equal that of the reference and write nothing.
    fn whole(&self, packed: &PackedWeights, expected: Option<&Error>) -> Option<Results> {
        let mut results = self.untouched();
        let result = self.run(packed, [0, self.case.time], &mut results);
        assert_eq!(result.err().as_ref(), expected);
        if expected.is_some() {
            let same = |(a, b): (&Vec<f32>, &Vec<f32>)| {
                a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits()) && a.len() == b.len()
            };
            assert!(results.iter().zip(&self.untouched()).all(same), "a refusal wrote");
            return None;
        }
        Some(self.without_gaps(packed.variant(), results))
    }

    /// Runs the sequence in chunks of time, one call after the other.
    fn in_chunks(&self, packed: &PackedWeights) -> Results {
        let mut results = self.untouched();
        let chunk = self.case.chunk;
        let starts: Vec<usize> = (0..self.case.time).step_by(chunk).collect();
        let call = |&first: &usize| {
            let end = (first + chunk).min(self.case.time);
            self.run(packed, [first, end], &mut results).unwrap();
        };
        match self.case.reverse {
            true => starts.iter().rev().for_each(call),
            false => starts.iter().for_each(call),
        }
        self.without_gaps(packed.variant(), results)
    }

    /// Runs every row on its own, with the smallest blocking. Without fused multiply-adds, every call must agree with
    /// this.
    fn row_by_row(&self, packed: &PackedWeights) -> Results {
        let Case { hidden, time, batch, .. } = *self.case;
        let mut all = [vec![0.0; time * batch * hidden], vec![], vec![]];
        for b in 0..batch {
            let case = Case {
                batch: 1,
                lens: self.case.lens.as_ref().map(|lens| vec![lens[b]]),
                blocking: Blocking { rows: 1, steps: 1 },
                ..self.case.clone()
            };
            let of_row = |state: &[f32]| state.chunks(hidden).skip(b).take(1).flatten().copied().collect();
            let x = (0..time).flat_map(|t| self.x(0, time).row(t, 0, b)).copied().collect();
            let alone = Operands::new(&case, self.weights, [x, of_row(&self.h), of_row(&self.c)]);
            let [y, h, c] = alone.in_chunks(packed);
            for (t, y) in y.chunks(hidden).enumerate() {
                all[0][(t * batch + b) * hidden..][..hidden].copy_from_slice(y);
            }
            all[1].extend(h);
            all[2].extend(c);
        }
        all
    }
}

fn compare(variant: Variant, got: &Results, expected: &Results) {
    for (name, (got, expected)) in NAMES.iter().zip(got.iter().zip(expected)) {
        assert_eq!(got.len(), expected.len());
        for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
            assert!(agree(got, expected), "{variant}: {name}[{i}] is {got:e}, expected {expected:e}");
        }
    }
}

/// Checks that every element is within its bound of f64, if it has one. With bf16-dot, sums that are subnormal may become
/// zero: far less than `more`.
fn judge<const FUSED: bool>(variant: Variant, operands: &Operands<'_>, got: &Results) {
    let bounds = operands.expected::<Bounded<FUSED>>().unwrap();
    let more = if operands.weights.weight_type().keeps_contract() { 0.0 } else { 1e-30 };
    for (name, (got, bounds)) in NAMES.iter().zip(got.iter().zip(&bounds)) {
        let exact: Vec<f64> = bounds.iter().map(|bound| bound.value).collect();
        let allowed = |i: usize| if exact[i].is_finite() { bounds[i].error + more } else { f64::INFINITY };
        within(got, &exact, allowed).unwrap_or_else(|e| panic!("{variant}: {name}: {e}"));
    }
}

/// Checks that these weights must be refused, and for this reason.
fn check_refusal(case: &Case, tensors: &Tensors<'_>, scales: Option<Scales<'_>>, refusal: &Error) {
    let [of_w, of_r] = [scales.map(|scales| scales.w), scales.map(|scales| scales.r)];
    let all = [Some(tensors.w), Some(tensors.r), tensors.wb, tensors.rb, tensors.p, of_w, of_r];
    match refusal {
        Error::Zero { .. } => assert_eq!(case.hidden, 0),
        Error::Option { .. } => assert!(!is_usable(&case.cell)),
        Error::Length { what: "P", .. } => assert!(case.peepholes && !case.cell.has_cell_state()),
        Error::NotFinite { .. } => assert!(all.into_iter().flatten().flatten().any(|v| !v.is_finite())),
        Error::OutOfRange { .. } => {
            let too_large = |&weight: &f32| case.weight_type.rounded(weight).is_infinite();
            assert!([tensors.w, tensors.r].into_iter().flatten().any(too_large));
        }
        // All elements are multiples of their scales, but only those by less than 10 000 are told from others.
        Error::NoMultiple { .. } => assert!(case.zero_points.unwrap().iter().any(|zero| zero.abs() > 9_000)),
        &Error::Terms { what, terms, .. } => {
            let zero_point = case.zero_points.unwrap()[usize::from(what == "R")];
            assert!(terms as u64 * 255 * (u64::from(zero_point.unsigned_abs()) + 128) > i32::MAX as u64);
        }
        e => panic!("refused: {e}"),
    }
}

/// The weights packed for this instruction set, with each kind of dot products that this CPU has. Of bf16-dot without tiles,
/// whose answers depend on the batch.
fn packed(variant: Variant, weights: &Weights<'_>) -> Vec<PackedWeights> {
    let with = |dots| PackedWeights::new(variant, weights).unwrap().with_dots(dots);
    match weights.weight_type() {
        WeightType::I8 => variant.dots().map(with).collect(),
        _ => vec![with(Dots::Vnni)],
    }
}

/// Checks the weights as a layer of this type, or with these scales.
fn typed<'a>(weights: Weights<'a>, case: &Case, scales: Option<Scales<'a>>) -> Result<Weights<'a>, Error> {
    let weights = match scales {
        Some(scales) => weights.with_scales(scales)?,
        None => weights.with_type(case.weight_type)?,
    };
    // Dot products of bf16 take subnormal numbers for zero.
    let flush = !case.weight_type.keeps_contract();
    weights.with_subnormals(if flush { Subnormals::FlushWeights } else { Subnormals::Keep })
}

/// Checks one call, the same in chunks, and every row alone.
fn check(operands: &Operands<'_>, packed: &PackedWeights, expected: &Result<Results, Error>) {
    let (case, variant) = (operands.case, packed.variant());
    let Some(results) = operands.whole(packed, expected.as_ref().err()) else { return };
    let has_bits = variant.is_fused() && case.weight_type.keeps_contract();
    match expected {
        Ok(expected) if has_bits => compare(variant, &results, expected),
        _ => compare(variant, &results, &operands.row_by_row(packed)),
    }
    compare(variant, &operands.in_chunks(packed), &results);
    if case.judged && (case.weight_type.keeps_contract() || case.is_tame()) {
        let judge = if has_bits { judge::<true> } else { judge::<false> };
        judge(variant, operands, &results);
    }
}

fuzz_target!(|case: Case| {
    let mut case = case;
    let Case { cell, input, hidden, time, batch, .. } = case;
    let rows = cell.gates() * hidden;
    let ([w, of_w], [r, of_r]) = match case.zero_points {
        Some([w, r]) => (case.multiples(rows, input, w), case.multiples(rows, hidden, r)),
        None => ([case.weights(rows * input), vec![]], [case.weights(rows * hidden), vec![]]),
    };
    let [wb, rb] = case.biases.map(|some| some.then(|| case.weights(rows)));
    let p = case.peepholes.then(|| case.weights(3 * hidden));
    let states = batch * hidden;
    let cells = if cell.has_cell_state() { states } else { 0 };
    let contents = [time * batch * input, states, cells].map(|count| case.contents.values(count));

    let tensors = Tensors { w: &w, r: &r, wb: wb.as_deref(), rb: rb.as_deref(), p: p.as_deref() };
    let scales = case.zero_points.map(|[w_zero_point, r_zero_point]| Scales {
        w: &of_w,
        r: &of_r,
        w_zero_point,
        r_zero_point,
    });
    let weights = Weights::new(cell, [input, hidden], case.order, tensors);
    let weights = match weights.and_then(|weights| typed(weights, &case, scales)) {
        Ok(weights) => weights,
        Err(refusal) => return check_refusal(&case, &tensors, scales, &refusal),
    };
    assert!(hidden > 0 && is_usable(&cell) && (matches!(cell, Cell::Lstm(_)) || p.is_none()));

    let operands = Operands::new(&case, weights, contents);
    let expected = operands.expected::<f32>();
    for packed in Variant::available().flat_map(|variant| packed(variant, &weights)) {
        check(&operands, &packed, &expected);
    }
});
