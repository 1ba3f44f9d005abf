//! Tests the element types of recurrent nodes: how weights are stored, what is computed, and which types are refused.

use rnnpack_dev::onnx::native::run;
use rnnpack_dev::onnx::recorded::difference;
use rnnpack_dev::onnx::recurrent_nodes;
use rnnpack_dev::onnx::{
    BFLOAT16, DOUBLE, Dim, FLOAT, FLOAT16, Graph, INT32, Msg, Numbers, attr_s, node, raw, untyped, value,
};
use rnnpack_onnx::{DType, Error, Tensor, TensorData, bf16, f16};

const DTYPES: [(DType, i64); 4] =
    [(DType::F32, FLOAT), (DType::F64, DOUBLE), (DType::F16, FLOAT16), (DType::BF16, BFLOAT16)];

/// Numbers as little-endian bytes of an element type.
fn bytes(values: &[f32], dtype: DType) -> Vec<u8> {
    let each = |one: fn(f32) -> Vec<u8>| values.iter().flat_map(|&v| one(v)).collect();
    match dtype {
        DType::F16 => each(|v| f16::from_f32(v).to_le_bytes().to_vec()),
        DType::BF16 => each(|v| bf16::from_f32(v).to_le_bytes().to_vec()),
        DType::F64 => each(|v| f64::from(v).to_le_bytes().to_vec()),
        _ => each(|v| v.to_le_bytes().to_vec()),
    }
}

/// A stored tensor that has its elements in the typed field.
fn typed(name: &str, dims: &[usize], values: &[f32], (dtype, number): (DType, i64)) -> Msg {
    let m = dims.iter().fold(Msg::default(), |m, &d| m.int(1, d as i64)).int(2, number).text(8, name);
    match dtype {
        DType::F16 => values.iter().fold(m, |m, &v| m.int(5, f16::from_f32(v).to_bits().into())),
        DType::BF16 => values.iter().fold(m, |m, &v| m.int(5, bf16::from_f32(v).to_bits().into())),
        DType::F64 => {
            // A packed field of fixed-size values.
            m.bytes(10, &bytes(values, dtype))
        }
        _ => values.iter().fold(m, |m, &v| m.float(4, v)),
    }
}

/// `n` numbers that every element type can hold exactly.
fn numbers(n: usize, source: &mut Numbers) -> Vec<f32> {
    (0..n).map(|_| (source.below(129) as f32 - 64.0) / 64.0).collect()
}

/// A graph of one bidirectional LSTM with all weights. `stored` stores each of them.
fn graph((_, number): (DType, i64), stored: impl Fn(&str, &[usize], &[f32]) -> Msg) -> Graph {
    let mut n = Numbers(5);
    let mut one = |name: &str, dims: &[usize]| stored(name, dims, &numbers(dims.iter().product(), &mut n));
    Graph {
        stored: vec![one("W", &[2, 8, 3]), one("R", &[2, 8, 2]), one("B", &[2, 16]), one("P", &[2, 6])],
        inputs: vec![value("X", number, &[Dim::Name("T"), Dim::Name("N"), Dim::N(3)])],
        nodes: vec![node(
            "LSTM",
            "lstm",
            &["X", "W", "R", "B", "", "", "", "P"],
            &["Y"],
            &[attr_s("direction", "bidirectional")],
        )],
        outputs: vec![untyped("Y")],
    }
}

#[test]
fn one_answer_however_numbers_are_stored() {
    let x = Tensor::new(&[4, 2, 3], numbers(24, &mut Numbers(6))).unwrap();
    let of_f32 = graph(DTYPES[0], |name, dims, v| raw(name, dims, FLOAT, bytes(v, DType::F32)));
    let [expected, ..] = run(&of_f32.model(22), &[("X", &x)]).unwrap();
    for dtype in DTYPES {
        let as_raw = graph(dtype, |name, dims, v| raw(name, dims, dtype.1, bytes(v, dtype.0)));
        let as_typed = graph(dtype, |name, dims, v| typed(name, dims, v, dtype));
        for graph in [as_raw, as_typed] {
            let node = recurrent_nodes(&graph.model(22)).unwrap().remove(0);
            assert_eq!((node.dtype, node.weight_bytes), (Some(dtype.0), 124 * bytes(&[0.0], dtype.0).len()));
            if dtype.0 == DType::F64 {
                let TensorData::F32(x) = x.data() else { panic!() };
                let x = Tensor::new(&[4, 2, 3], x.iter().map(|&x| f64::from(x)).collect()).unwrap();
                let [y, ..] = run(&graph.model(22), &[("X", &x)]).unwrap();
                let y: Vec<f32> = y.as_slice::<f64>().unwrap().iter().map(|&y| y as f32).collect();
                let y = Tensor::new(expected.dims(), y).unwrap();
                assert!(difference(&y, &expected).unwrap().largest < 1e-6);
            } else {
                let [y, ..] = run(&graph.model(22), &[("X", &x)]).unwrap();
                assert_eq!(y, expected, "{dtype:?}");
            }
        }
    }
}

/// The error for the only node of a graph.
fn refused(graph: &Graph, opset: i64) -> Error {
    let node = recurrent_nodes(&graph.model(opset)).unwrap().remove(0);
    assert!(node.pack().is_err() && node.pack_f64().is_err());
    node.refusal().unwrap().clone()
}

fn input_of(e: &Error) -> (&str, &str) {
    match e {
        Error::Input { node, input, reason } if node == "lstm" => (input, reason),
        e => panic!("{e}"),
    }
}

#[test]
fn what_is_not_finite_is_refused_by_name() {
    for dtype in DTYPES {
        for weight in ["W", "R", "B", "P"] {
            for (value, word) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
                let stored = |name: &str, dims: &[usize], v: &[f32]| {
                    let mut v = v.to_vec();
                    if name == weight {
                        v[5] = value;
                    }
                    raw(name, dims, dtype.1, bytes(&v, dtype.0))
                };
                let e = refused(&graph(dtype, stored), 22);
                assert_eq!(input_of(&e), (weight, format!("element 5 is {word}").as_str()));
            }
        }
    }
}

#[test]
fn one_element_type_holds_for_all_inputs() {
    for dtype in DTYPES {
        for other in DTYPES.into_iter().filter(|other| *other != dtype) {
            for weight in ["R", "B", "P"] {
                let stored = |name: &str, dims: &[usize], v: &[f32]| {
                    let (dtype, number) = if name == weight { other } else { dtype };
                    raw(name, dims, number, bytes(v, dtype))
                };
                let e = refused(&graph(dtype, stored), 22);
                let reason = format!("it is {}, but W is {}", other.0, dtype.0);
                assert_eq!(input_of(&e), (weight, reason.as_str()));
            }
            let e = refused(&graph(other, |name, dims, v| raw(name, dims, dtype.1, bytes(v, dtype.0))), 22);
            assert_eq!(input_of(&e).0, "X");
        }
    }
}

#[test]
fn bfloat16_is_of_operator_set_22() {
    let of = |i: usize| graph(DTYPES[i], |name, dims, v| raw(name, dims, DTYPES[i].1, bytes(v, DTYPES[i].0)));
    let e = refused(&of(3), 21);
    assert_eq!(input_of(&e), ("W", "it is bf16, where LSTM of operator set 21 has f32, f64, f16"));
    for (dtype, opset) in [(0, 1), (1, 1), (2, 1), (3, 22)] {
        assert!(recurrent_nodes(&of(dtype).model(opset)).unwrap()[0].refusal().is_none());
    }
}

#[test]
fn declared_element_types_of_inputs_that_are_no_weights() {
    for (input, number, expected) in [("initial_h", DOUBLE, "FLOAT"), ("sequence_lens", 7, "INT32")] {
        let names = ["X", "W", "R", "", "lens", "h"];
        let mut graph = graph(DTYPES[0], |name, dims, v| raw(name, dims, FLOAT, bytes(v, DType::F32)));
        graph.nodes = vec![node("LSTM", "lstm", &names, &["Y"], &[attr_s("direction", "bidirectional")])];
        let of = |name| {
            if name == input {
                number
            } else if name == "initial_h" {
                FLOAT
            } else {
                INT32
            }
        };
        graph.inputs.push(value("lens", of("sequence_lens"), &[Dim::Name("N")]));
        graph.inputs.push(value("h", of("initial_h"), &[Dim::N(2), Dim::Name("N"), Dim::N(2)]));
        let e = refused(&graph, 22);
        assert!(input_of(&e).0 == input && e.to_string().contains(expected), "{e}");
    }
}

#[test]
fn bits_that_are_none_of_half_precision() {
    for (bits, reason) in [(65536, "value 65536 does not fit"), (-1, "value -1 does not fit")] {
        for dtype in &DTYPES[2..] {
            let stored = |name: &str, dims: &[usize], v: &[f32]| match name {
                "R" => {
                    let m = dims.iter().fold(Msg::default(), |m, &d| m.int(1, d as i64));
                    v.iter().fold(m.int(2, dtype.1).text(8, name), |m, _| m.int(5, bits))
                }
                _ => raw(name, dims, dtype.1, bytes(v, dtype.0)),
            };
            let e = refused(&graph(*dtype, stored), 22);
            assert!(input_of(&e).0 == "R" && e.to_string().contains(reason), "{e}");
        }
    }
}

/// The number that `bits` mean in a format with these numbers of exponent and fraction bits. `None` for a NaN.
fn exact(bits: u16, exponent_bits: u32, fraction_bits: u32) -> Option<f64> {
    let fraction = f64::from(bits & ((1 << fraction_bits) - 1)) / f64::from(1 << fraction_bits);
    let exponent = i32::from(bits >> fraction_bits & ((1 << exponent_bits) - 1));
    let bias = (1 << (exponent_bits - 1)) - 1;
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(1 - bias),
        e if e == 2 * bias + 1 && fraction == 0.0 => f64::INFINITY,
        e if e == 2 * bias + 1 => return None,
        e => (1.0 + fraction) * 2f64.powi(e - bias),
    };
    Some(if bits >> 15 == 1 { -magnitude } else { magnitude })
}

#[test]
fn half_precision_is_widened_exactly_and_rounded_to_nearest_even() {
    for (dtype, exponent_bits, fraction_bits) in [(DType::F16, 5, 10), (DType::BF16, 8, 7)] {
        let of_bits = |bits: Vec<u16>| {
            let n = bits.len();
            match dtype {
                DType::F16 => Tensor::new(&[n], bits.into_iter().map(f16::from_bits).collect()).unwrap(),
                _ => Tensor::new(&[n], bits.into_iter().map(bf16::from_bits).collect()).unwrap(),
            }
        };
        let all = of_bits((0..=u16::MAX).collect());
        let wide = all.to_f32().unwrap();
        for (bits, &found) in (0..=u16::MAX).zip(wide.as_slice::<f32>().unwrap()) {
            match exact(bits, exponent_bits, fraction_bits) {
                Some(exact) => assert_eq!(f64::from(found).to_bits(), exact.to_bits(), "{dtype} {bits:#06x}"),
                None => assert!(found.is_nan()),
            }
        }
        // Between neighbours, up to the largest number: the middle rounds to the even one, other values to the nearer
        // one.
        let last = (0x7fff >> fraction_bits << fraction_bits) - 1;
        let mut between = Vec::new();
        let mut expected = Vec::new();
        for low in 0..last {
            let [a, b] = [low, low + 1].map(|bits| exact(bits, exponent_bits, fraction_bits).unwrap());
            let middle = ((a + b) / 2.0) as f32;
            between.extend([middle.next_down(), middle, middle.next_up()]);
            expected.extend([low, if low % 2 == 0 { low } else { low + 1 }, low + 1]);
        }
        between.extend([f32::MAX, -f32::MAX]);
        expected.extend([last + 1, (last + 1) | (1 << 15)]);
        let rounded = Tensor::new(&[between.len()], between).unwrap().round_to(dtype).unwrap();
        assert_eq!(rounded, of_bits(expected), "{dtype}");
    }
    assert!(Tensor::scalar(1i64).to_f32().is_none() && Tensor::scalar(1i64).round_to(DType::F16).is_none());
    assert!(Tensor::scalar(1f32).round_to(DType::F64).is_none());
}
