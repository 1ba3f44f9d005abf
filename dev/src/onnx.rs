//! Shared parts of the ONNX tests: an encoder for small models, recorded answers, and a source of numbers.

pub mod conformance;
pub mod faint;
pub mod function;
pub mod hostile;
pub mod narrow;
pub mod native;
pub mod one;
pub mod quantized;
pub mod recorded;
pub mod stored;

pub use crate::numbers::Numbers;
pub use faint::Faint;
pub use function::{Function, attr_ref, call};
pub use narrow::Narrow;
pub use quantized::QuantizedNode;
pub use stored::{external, sparse};

use rnnpack_onnx::{Error, File, RecurrentNode, Tensor};
use std::path::PathBuf;

/// The path of a file below `tests/fixtures`.
pub fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(path)
}

/// The bytes of a file below `tests/fixtures`.
pub fn read(path: &str) -> Vec<u8> {
    std::fs::read(fixture(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The recurrent nodes of a file.
pub fn recurrent_nodes(bytes: &[u8]) -> Result<Vec<RecurrentNode>, Error> {
    File::parse(bytes).map(File::into_nodes)
}

/// The recurrent nodes of a file. `bindings` are the values of some of its inputs.
pub fn recurrent_nodes_with(bytes: &[u8], bindings: &[(&str, &Tensor)]) -> Result<Vec<RecurrentNode>, Error> {
    File::parse_with(bytes, bindings).map(File::into_nodes)
}

/// A protobuf message under construction.
#[derive(Clone, Default)]
pub struct Msg(pub Vec<u8>);

impl Msg {
    fn varint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.0.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.0.push(v as u8);
    }

    /// Adds an integer.
    pub fn int(mut self, field: u32, v: i64) -> Self {
        self.varint(u64::from(field) << 3);
        self.varint(v as u64);
        self
    }

    /// Adds bytes.
    pub fn bytes(mut self, field: u32, v: &[u8]) -> Self {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(v.len() as u64);
        self.0.extend_from_slice(v);
        self
    }

    /// Adds a text.
    pub fn text(self, field: u32, v: &str) -> Self {
        self.bytes(field, v.as_bytes())
    }

    /// Adds a message.
    pub fn msg(self, field: u32, v: &Msg) -> Self {
        self.bytes(field, &v.0)
    }

    /// Adds a float.
    pub fn float(mut self, field: u32, v: f32) -> Self {
        self.varint(u64::from(field) << 3 | 5);
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }
}

/// f32 in `TensorProto.DataType`.
pub const FLOAT: i64 = 1;
/// i32.
pub const INT32: i64 = 6;
/// i64.
pub const INT64: i64 = 7;
/// bool.
pub const BOOL: i64 = 9;
/// f16.
pub const FLOAT16: i64 = 10;
/// f64.
pub const DOUBLE: i64 = 11;
/// bf16.
pub const BFLOAT16: i64 = 16;

/// A stored tensor of element type `dtype` with these bytes.
pub fn raw(name: &str, dims: &[usize], dtype: i64, data: Vec<u8>) -> Msg {
    let m = dims.iter().fold(Msg::default(), |m, &d| m.int(1, d as i64));
    m.int(2, dtype).text(8, name).bytes(9, &data)
}

/// A stored tensor of f32.
pub fn tensor(name: &str, dims: &[usize], data: &[f32]) -> Msg {
    raw(name, dims, FLOAT, data.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// A stored tensor of i64.
pub fn tensor_i64(name: &str, dims: &[usize], data: &[i64]) -> Msg {
    raw(name, dims, INT64, data.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// A stored tensor of i32.
pub fn tensor_i32(name: &str, dims: &[usize], data: &[i32]) -> Msg {
    raw(name, dims, INT32, data.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// A stored tensor of bool.
pub fn tensor_bool(name: &str, dims: &[usize], data: &[bool]) -> Msg {
    raw(name, dims, BOOL, data.iter().map(|&v| v.into()).collect())
}

/// An attribute of type `kind`, without a value.
pub fn attr(name: &str, kind: i64) -> Msg {
    Msg::default().text(1, name).int(20, kind)
}

/// An attribute of type FLOAT.
pub fn attr_f(name: &str, v: f32) -> Msg {
    attr(name, 1).float(2, v)
}

/// An attribute of type INT.
pub fn attr_i(name: &str, v: i64) -> Msg {
    attr(name, 2).int(3, v)
}

/// An attribute of type STRING.
pub fn attr_s(name: &str, v: &str) -> Msg {
    attr(name, 3).text(4, v)
}

/// An attribute of type TENSOR.
pub fn attr_t(name: &str, v: &Msg) -> Msg {
    attr(name, 4).msg(5, v)
}

/// An attribute of type GRAPH.
pub fn attr_g(name: &str, v: &Msg) -> Msg {
    attr(name, 5).msg(6, v)
}

/// An attribute of type FLOATS.
pub fn attr_floats(name: &str, v: &[f32]) -> Msg {
    v.iter().fold(attr(name, 6), |m, &v| m.float(7, v))
}

/// An attribute of type INTS.
pub fn attr_ints(name: &str, v: &[i64]) -> Msg {
    v.iter().fold(attr(name, 7), |m, &v| m.int(8, v))
}

/// An attribute of type STRINGS.
pub fn attr_strings(name: &str, v: &[&str]) -> Msg {
    v.iter().fold(attr(name, 8), |m, v| m.text(9, v))
}

/// A node.
pub fn node(op: &str, name: &str, inputs: &[&str], outputs: &[&str], attrs: &[Msg]) -> Msg {
    let m = inputs.iter().fold(Msg::default(), |m, i| m.text(1, i));
    let m = outputs.iter().fold(m, |m, o| m.text(2, o)).text(3, name).text(4, op);
    attrs.iter().fold(m, |m, a| m.msg(5, a))
}

/// A declared dimension.
#[derive(Clone, Copy, Debug)]
pub enum Dim {
    /// A known size.
    N(usize),
    /// A name for an unknown size.
    Name(&'static str),
}

/// A declared tensor.
pub fn value(name: &str, dtype: i64, dims: &[Dim]) -> Msg {
    let dim = |d: &Dim| match *d {
        Dim::N(n) => Msg::default().int(1, n as i64),
        Dim::Name(s) => Msg::default().text(2, s),
    };
    let shape = dims.iter().fold(Msg::default(), |m, d| m.msg(1, &dim(d)));
    let tensor = Msg::default().int(1, dtype).msg(2, &shape);
    Msg::default().text(1, name).msg(2, &Msg::default().msg(1, &tensor))
}

/// A value of unknown type, for example an output of a graph.
pub fn untyped(name: &str) -> Msg {
    Msg::default().text(1, name)
}

/// A graph under construction.
#[derive(Clone, Default)]
pub struct Graph {
    /// The nodes.
    pub nodes: Vec<Msg>,
    /// The stored tensors.
    pub stored: Vec<Msg>,
    /// The inputs.
    pub inputs: Vec<Msg>,
    /// The outputs.
    pub outputs: Vec<Msg>,
}

impl Graph {
    /// The encoded graph.
    pub fn msg(&self) -> Msg {
        let m = self.nodes.iter().fold(Msg::default(), |m, n| m.msg(1, n)).text(2, "g");
        let m = self.stored.iter().fold(m, |m, t| m.msg(5, t));
        let m = self.inputs.iter().fold(m, |m, v| m.msg(11, v));
        self.outputs.iter().fold(m, |m, v| m.msg(12, v))
    }

    /// A model with this graph, of operator set `opset`.
    pub fn model(&self, opset: i64) -> Vec<u8> {
        model(&self.msg(), opset)
    }
}

/// A model with a graph, of operator set `opset`.
pub fn model(graph: &Msg, opset: i64) -> Vec<u8> {
    Msg::default().int(1, 8).msg(7, graph).msg(8, &Msg::default().text(1, "").int(2, opset)).0
}

/// The fields of a protobuf message. Each is a number with an integer or bytes.
pub fn fields(mut b: &[u8]) -> Vec<(u64, Field<'_>)> {
    fn varint(b: &mut &[u8]) -> u64 {
        let mut v = 0;
        for shift in (0..).step_by(7) {
            let (&first, rest) = b.split_first().unwrap();
            *b = rest;
            v |= u64::from(first & 0x7f) << shift;
            if first < 0x80 {
                return v;
            }
        }
        v
    }
    let mut found = Vec::new();
    while !b.is_empty() {
        let tag = varint(&mut b);
        let field = match tag & 7 {
            0 => Field::Int(varint(&mut b)),
            kind => {
                let n = match kind {
                    2 => varint(&mut b) as usize,
                    5 => 4,
                    _ => 8,
                };
                let (bytes, rest) = b.split_at(n);
                b = rest;
                Field::Bytes(bytes)
            }
        };
        found.push((tag >> 3, field));
    }
    found
}

/// The value of a protobuf field.
#[derive(Clone, Copy)]
pub enum Field<'a> {
    /// A value of wire type 0.
    Int(u64),
    /// A value of another wire type.
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    /// The bytes.
    pub fn bytes(self) -> &'a [u8] {
        if let Field::Bytes(b) = self { b } else { panic!("an integer") }
    }

    /// The bytes as text.
    pub fn text(self) -> &'a str {
        std::str::from_utf8(self.bytes()).unwrap()
    }
}
