//! Draws cases from the fuzzer's bytes.

use arbitrary::{Arbitrary, Result, Unstructured};
use rnnpack_dev::forms::forms;
use rnnpack_kernels::blocking::Blocking;
use rnnpack_kernels::{Activation, Cell, GateOrder, GruCell, LstmCell, RnnCell, Scale, WeightType};

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) cell: Cell,
    pub(crate) input: usize,
    pub(crate) hidden: usize,
    pub(crate) time: usize,
    pub(crate) batch: usize,
    pub(crate) order: GateOrder,
    /// The type in which W and R are stored.
    pub(crate) weight_type: WeightType,
    /// The zero points of W and R, if these are multiples of given scales. Only int8 weights have them.
    pub(crate) zero_points: Option<[i32; 2]>,
    pub(crate) biases: [bool; 2],
    /// A cell without peepholes may get them too, and must refuse them.
    pub(crate) peepholes: bool,
    pub(crate) reverse: bool,
    pub(crate) lens: Option<Vec<i32>>,
    pub(crate) blocking: Blocking,
    /// The number of steps in each chunk of a sequence.
    pub(crate) chunk: usize,
    /// Whether X is batch-major.
    pub(crate) batch_major: bool,
    /// The number of unused f32 after every row of X and of Y.
    pub(crate) gaps: [usize; 2],
    /// Whether weights are made finite, so that the case reaches more than their refusal.
    pub(crate) finite: bool,
    /// Whether results are also compared with f64.
    pub(crate) judged: bool,
    pub(crate) contents: Contents,
}

/// An endless stream of f32 from a few bytes.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    bytes: Vec<u8>,
    kind: Kind,
    taken: u64,
}

/// How bytes make a value.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Four bytes are the bits of the value.
    Bits,
    /// Two bytes choose a value from a range that keeps gates unsaturated, or one byte chooses a special value.
    Special,
    /// Two bytes choose a value from that range.
    Tame,
}

const NAMES: [&str; 11] = [
    "Relu",
    "Tanh",
    "Sigmoid",
    "Affine",
    "LeakyRelu",
    "ThresholdedRelu",
    "ScaledTanh",
    "HardSigmoid",
    "Elu",
    "Softsign",
    "Softplus",
];

/// A parameter of an activation, or a threshold. It is mostly absent or small. Sometimes it is any f32, which may
/// have to be refused.
fn parameter(u: &mut Unstructured<'_>) -> Result<Option<f32>> {
    Ok(match u.int_in_range(0..=15u8)? {
        0..8 => None,
        8..15 => Some((f32::from(u.arbitrary::<u8>()?) - 96.0) / 32.0),
        _ => Some(f32::from_bits(u.arbitrary()?)),
    })
}

/// A zero point of given scales: mostly one of an i8, sometimes a large number, with which a sum may exceed an i32.
fn zero_point(u: &mut Unstructured<'_>) -> Result<i32> {
    Ok(match u.int_in_range(0..=15u8)? {
        0..8 => 0,
        8..15 => u.arbitrary::<i8>()?.into(),
        _ => u.arbitrary::<i32>()? >> 8,
    })
}

fn activation(u: &mut Unstructured<'_>) -> Result<Activation> {
    let named = Activation::by_name(u.choose(&NAMES)?).expect("the name of an activation");
    Ok(named.with_parameters(parameter(u)?, parameter(u)?))
}

/// A third of the cells have ONNX's default activations and no clipping: the kernels have special instances for them.
fn cell(u: &mut Unstructured<'_>) -> Result<Cell> {
    let (operator, plain, flag) = (u.int_in_range(0..=2u8)?, u.ratio(1, 3)?, u.arbitrary()?);
    let mut cell = match operator {
        0 => Cell::Lstm(LstmCell { input_forget: flag, ..LstmCell::default() }),
        1 => Cell::Gru(GruCell { linear_before_reset: flag, ..GruCell::default() }),
        _ => Cell::Rnn(RnnCell::default()),
    };
    if plain {
        return Ok(cell);
    }
    let clip = parameter(u)?;
    match &mut cell {
        Cell::Lstm(lstm) => {
            lstm.clip = clip;
            lstm.activations = [activation(u)?, activation(u)?, activation(u)?];
        }
        Cell::Gru(gru) => {
            gru.clip = clip;
            gru.activations = [activation(u)?, activation(u)?];
        }
        Cell::Rnn(rnn) => {
            rnn.clip = clip;
            rnn.activation = activation(u)?;
        }
    }
    Ok(cell)
}

/// Whether all options are numbers that a kernel accepts.
pub(crate) fn is_usable(cell: &Cell) -> bool {
    let parameters = cell.activations().iter().flat_map(|activation| <[_; 2]>::from(activation.parameters()));
    parameters.flatten().all(f32::is_finite) && cell.clip().is_none_or(|clip| clip > 0.0 && clip.is_finite())
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Case> {
        let cell = cell(u)?;
        let batch = u.int_in_range(0..=14)?;
        let time = u.int_in_range(0..=7)?;
        let lens = |u: &mut Unstructured<'a>| -> Result<Vec<i32>> {
            // -1 and T + 1 must be refused.
            let beyond = i32::from(u.ratio(1, 8)?);
            (0..batch).map(|_| u.int_in_range(-beyond..=time as i32 + beyond)).collect()
        };
        let extent = |u: &mut Unstructured<'a>| -> Result<usize> {
            Ok(if u.ratio(1, 8)? { u.arbitrary()? } else { u.int_in_range(1..=9)? })
        };
        let [input, hidden] = [u.int_in_range(0..=40)?, u.int_in_range(0..=40)?];
        let order = if u.arbitrary()? { GateOrder::Onnx } else { GateOrder::PyTorch };
        let weight_type = *u.choose(&WeightType::ALL)?;
        Ok(Case {
            cell,
            input,
            hidden,
            time,
            batch,
            order,
            weight_type,
            zero_points: match weight_type == WeightType::I8 && u.arbitrary()? {
                true => Some([zero_point(u)?, zero_point(u)?]),
                false => None,
            },
            biases: u.arbitrary()?,
            peepholes: u.ratio(1, if cell.has_cell_state() { 2 } else { 16 })?,
            reverse: u.arbitrary()?,
            lens: if u.arbitrary()? { Some(lens(u)?) } else { None },
            blocking: Blocking { rows: extent(u)?, steps: extent(u)? },
            chunk: u.int_in_range(1..=7)?,
            batch_major: u.arbitrary()?,
            gaps: [u.int_in_range(0..=3)?, u.int_in_range(0..=3)?],
            finite: u.ratio(7, 8)?,
            judged: u.ratio(1, 4)?,
            contents: Contents {
                kind: *u.choose(&[Kind::Bits, Kind::Special, Kind::Tame, Kind::Tame])?,
                bytes: u.bytes(u.len())?.to_vec(),
                taken: 0,
            },
        })
    }
}

impl Case {
    /// Whether all numbers stay so small that the order of additions costs no more than the bounds of bf16-dot allow.
    pub(crate) fn is_tame(&self) -> bool {
        matches!(self.contents.kind, Kind::Tame) && forms().contains(&self.cell)
    }

    /// A matrix of rows whose elements are multiples of the scales, and the scales.
    pub(crate) fn multiples(&mut self, rows: usize, columns: usize, zero_point: i32) -> [Vec<f32>; 2] {
        let scales = self.weights(rows);
        let rows = scales.iter().flat_map(|&scale| std::iter::repeat_n(Scale { scale, zero_point }, columns));
        let mut multiple = |scale: Scale| scale.weight(i32::from(self.contents.byte() as i8));
        [rows.map(&mut multiple).collect(), scales]
    }

    /// The elements of a tensor of weights.
    pub(crate) fn weights(&mut self, count: usize) -> Vec<f32> {
        let values = self.contents.values(count);
        match self.finite {
            true => values.into_iter().map(|v| if v.is_finite() { v } else { 0.75 }).collect(),
            false => values,
        }
    }
}

impl Contents {
    fn byte(&mut self) -> u8 {
        // Every pass over the bytes permutes their values in a different way.
        let (at, lap) = match self.bytes.len() as u64 {
            0 => (0, self.taken),
            len => (self.taken % len, self.taken / len),
        };
        self.taken += 1;
        let byte = self.bytes.get(at as usize).copied().unwrap_or(0x5a);
        byte.wrapping_mul((lap as u8).wrapping_mul(2).wrapping_add(1)).wrapping_add((lap >> 7) as u8)
    }

    fn value(&mut self) -> f32 {
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
        if let Kind::Bits = self.kind {
            return f32::from_bits(u32::from_le_bytes([(); 4].map(|()| self.byte())));
        }
        match (self.kind, self.byte()) {
            (Kind::Special, byte @ 0..12) => SPECIAL[byte as usize],
            (_, byte) => (f32::from(byte) - 128.0) / 128.0 + f32::from(self.byte()) / 65536.0,
        }
    }

    pub(crate) fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }
}
