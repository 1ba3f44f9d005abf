//! Kernels against the naive reference: any sizes, lengths and blocking, any contents including NaN, infinities and
//! subnormals, on every instruction set of this machine.
#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use rnnpack_kernels::blocking::Blocking;
use rnnpack_kernels::{
    Call, Cell, Dims, Error, GateOrder, Layout, Packed, Scratch, Strides, Tensors, Variant, View, ViewMut,
    Weights, forward, reference,
};

#[derive(Debug)]
struct Case {
    input: usize,
    hidden: usize,
    time: usize,
    batch: usize,
    order: GateOrder,
    biases: [bool; 2],
    reverse: bool,
    lens: Option<Vec<i32>>,
    blocking: Blocking,
    /// Unused f32 behind every row of Y.
    gap: usize,
    /// Whether weights are made finite, so that more than their refusal is reached.
    finite: bool,
    contents: Contents,
}

/// Endless f32 out of few bytes.
#[derive(Debug)]
struct Contents {
    bytes: Vec<u8>,
    /// Whether four bytes are the bits of a value, or one byte picks it from a range that keeps gates unsaturated.
    raw: bool,
    taken: u64,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        let batch = u.int_in_range(0..=14)?;
        let time = u.int_in_range(0..=7)?;
        let lens = |u: &mut Unstructured<'a>| -> Result<Vec<i32>> {
            // Mostly in range; -1 and T + 1 must be refused.
            (0..batch).map(|_| u.int_in_range(-1..=time as i32 + 1)).collect()
        };
        let extent = |u: &mut Unstructured<'a>| -> Result<usize> {
            Ok(if u.ratio(1, 8)? { u.arbitrary()? } else { u.int_in_range(1..=9)? })
        };
        Ok(Case {
            input: u.int_in_range(0..=40)?,
            hidden: u.int_in_range(0..=40)?,
            time,
            batch,
            order: if u.arbitrary()? { GateOrder::Onnx } else { GateOrder::PyTorch },
            biases: u.arbitrary()?,
            reverse: u.arbitrary()?,
            lens: if u.arbitrary()? { Some(lens(u)?) } else { None },
            blocking: Blocking { rows: extent(u)?, steps: extent(u)? },
            gap: u.int_in_range(0..=3)?,
            finite: u.ratio(7, 8)?,
            contents: Contents { raw: u.arbitrary()?, bytes: u.bytes(u.len())?.to_vec(), taken: 0 },
        })
    }
}

impl Contents {
    fn byte(&mut self) -> u8 {
        // Every lap over the bytes is another permutation of their values.
        let (at, lap) = match self.bytes.len() as u64 {
            0 => (0, self.taken),
            len => (self.taken % len, self.taken / len),
        };
        self.taken += 1;
        let byte = self.bytes.get(at as usize).copied().unwrap_or(0x5a);
        byte.wrapping_mul((lap as u8).wrapping_mul(2).wrapping_add(1)).wrapping_add((lap >> 7) as u8)
    }

    fn value(&mut self) -> f32 {
        if self.raw {
            return f32::from_bits(u32::from_le_bytes([(); 4].map(|()| self.byte())));
        }
        const SPECIAL: [f32; 12] = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN,
            f32::MIN_POSITIVE,
            1e-40,
            -1e-45,
            -0.0,
            0.0,
            88.5,
            -104.0,
        ];
        match self.byte() {
            byte @ 0..12 => SPECIAL[byte as usize],
            byte => (f32::from(byte) - 128.0) / 128.0 + f32::from(self.byte()) / 65536.0,
        }
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }
}

/// Equal bits, or both NaN.
fn agree(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

const SENTINEL: f32 = f32::from_bits(0x7fc0_5e27);

struct Output {
    result: std::result::Result<(), Error>,
    /// Rows of Y, dense, and the final states.
    tensors: [Vec<f32>; 3],
}

fn kernel(variant: Variant, weights: &Weights<'_>, case: &Case, x: View<'_>, h: &[f32], c: &[f32]) -> Output {
    let packed = Packed::new(variant, weights).unwrap();
    let dims = Dims { width: case.hidden, ..x.dims() };
    let batch = case.hidden + case.gap;
    let strides = Strides { time: batch * case.batch, direction: 0, batch };
    let mut y = vec![SENTINEL; strides.time * case.time];
    let (mut h, mut c) = (h.to_vec(), c.to_vec());
    let call = Call {
        x,
        y: Some(ViewMut::strided(&mut y, dims, strides).unwrap()),
        lens: case.lens.as_deref(),
        reverse: case.reverse,
        h: &mut h,
        c: &mut c,
        blocking: case.blocking,
    };
    let result = forward(&packed, call, &mut Scratch::new());
    let mut rows = vec![];
    for row in y.chunks(batch) {
        let (row, gap) = row.split_at(case.hidden);
        assert!(gap.iter().all(|v| v.to_bits() == SENTINEL.to_bits()), "{variant}: wrote beside Y");
        rows.extend_from_slice(row);
    }
    Output { result, tensors: [rows, h, c] }
}

/// A row by itself, one step per call, with the smallest blocking: what every call must agree with.
fn row_by_row(
    variant: Variant,
    weights: &Weights<'_>,
    case: &Case,
    x: View<'_>,
    h: &[f32],
    c: &[f32],
) -> [Vec<f32>; 3] {
    let packed = Packed::new(variant, weights).unwrap();
    let (mut h, mut c) = (h.to_vec(), c.to_vec());
    let mut y = vec![0.0; case.time * case.batch * case.hidden];
    let mut scratch = Scratch::new();
    for b in 0..case.batch {
        let len = case.lens.as_ref().map_or(case.time, |lens| lens[b] as usize);
        let row = b * case.hidden..(b + 1) * case.hidden;
        for step in 0..len {
            let t = if case.reverse { len - 1 - step } else { step };
            let dims = Dims { time: 1, directions: 1, batch: 1, width: case.input };
            let at = (t * case.batch + b) * case.hidden;
            let out = ViewMut::new(
                &mut y[at..][..case.hidden],
                Dims { width: case.hidden, ..dims },
                Layout::TimeMajor,
            );
            let call = Call {
                x: View::new(x.row(t, 0, b), dims, Layout::TimeMajor).unwrap(),
                y: Some(out.unwrap()),
                lens: None,
                reverse: false,
                h: &mut h[row.clone()],
                c: &mut c[row.clone()],
                blocking: Blocking { rows: 1, steps: 1 },
            };
            forward(&packed, call, &mut scratch).unwrap();
        }
    }
    [y, h, c]
}

fuzz_target!(|case: Case| {
    let mut case = case;
    let (input, hidden) = (case.input, case.hidden);
    let w = case.contents.values(4 * hidden * input);
    let r = case.contents.values(4 * hidden * hidden);
    let [wb, rb] = case.biases.map(|some| some.then(|| case.contents.values(4 * hidden)));
    let finite = |v: &[f32]| v.iter().map(|&v| if v.is_finite() { v } else { 0.75 }).collect::<Vec<f32>>();
    let clean = |v: Vec<f32>| if case.finite { finite(&v) } else { v };
    let (w, r, wb, rb) = (clean(w), clean(r), wb.map(clean), rb.map(clean));
    let all_finite =
        [Some(&w), Some(&r), wb.as_ref(), rb.as_ref()].into_iter().flatten().flatten().all(|v| v.is_finite());
    let tensors = Tensors { w: &w, r: &r, wb: wb.as_deref(), rb: rb.as_deref(), p: None };
    let weights = match Weights::new(Cell::lstm(), [input, hidden], case.order, tensors) {
        Ok(weights) => weights,
        Err(Error::Zero { .. }) => return assert_eq!(hidden, 0),
        Err(Error::NotFinite { .. }) => return assert!(!all_finite),
        Err(e) => panic!("refused: {e}"),
    };
    assert!(all_finite && hidden > 0);

    let data = case.contents.values(case.time * case.batch * input);
    let dims = Dims { time: case.time, directions: 1, batch: case.batch, width: input };
    let x = View::new(&data, dims, Layout::TimeMajor).unwrap();
    let h = case.contents.values(case.batch * hidden);
    let c = case.contents.values(case.batch * hidden);

    let (mut last_h, mut last_c) = (h.clone(), c.clone());
    let lens = case.lens.as_deref();
    let expected = reference::forward::<f32, f32>(&weights, x, lens, case.reverse, &mut last_h, &mut last_c);
    for variant in Variant::available() {
        let output = kernel(variant, &weights, &case, x, &h, &c);
        let expected = match &expected {
            Err(e) => {
                assert_eq!(output.result.as_ref().unwrap_err(), e);
                let [y, last_h, last_c] = &output.tensors;
                assert!(y.iter().all(|v| v.to_bits() == SENTINEL.to_bits()), "a refusal wrote Y");
                assert!(
                    last_h
                        .iter()
                        .zip(&h)
                        .chain(last_c.iter().zip(&c))
                        .all(|(a, b)| a.to_bits() == b.to_bits())
                );
                continue;
            }
            Ok(y) if variant.is_fused() => [y.clone(), last_h.clone(), last_c.clone()],
            Ok(_) => row_by_row(variant, &weights, &case, x, &h, &c),
        };
        assert_eq!(output.result, Ok(()));
        for (name, (got, expected)) in ["Y", "Y_h", "Y_c"].iter().zip(output.tensors.iter().zip(&expected)) {
            assert_eq!(got.len(), expected.len());
            for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
                assert!(agree(got, expected), "{variant}: {name}[{i}] is {got:e}, expected {expected:e}");
            }
        }
    }
});
