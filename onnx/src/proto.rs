//! The messages of `onnx.proto` that recurrent nodes and a runtime need, with the field numbers of the ONNX standard.
//!
//! `prost` protects against hostile bytes: it bounds the nesting depth, checks wire types and UTF-8, and merges
//! repeated message fields. Decoding takes memory in proportion to the bytes given.

use crate::error::Error;
use prost::Message;

/// `ModelProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    /// The version of the format.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// The main graph.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    /// The operator sets that the model uses.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OpsetId>,
    /// Model-local functions.
    #[prost(message, repeated, tag = "25")]
    pub functions: Vec<Function>,
}

/// `OperatorSetIdProto`.
#[derive(Clone, PartialEq, Message)]
pub struct OpsetId {
    /// Its domain. Empty means the standard one.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Its version.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// `FunctionProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Function {
    /// Its name. A node that calls it has this operator.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The names of its inputs.
    #[prost(string, repeated, tag = "4")]
    pub input: Vec<String>,
    /// The names of its outputs.
    #[prost(string, repeated, tag = "5")]
    pub output: Vec<String>,
    /// The names of its attributes that have no default.
    #[prost(string, repeated, tag = "6")]
    pub attribute: Vec<String>,
    /// Its nodes.
    #[prost(message, repeated, tag = "7")]
    pub node: Vec<Node>,
    /// The operator sets that its nodes use.
    #[prost(message, repeated, tag = "9")]
    pub opset_import: Vec<OpsetId>,
    /// Its domain. A node that calls it has this domain.
    #[prost(string, tag = "10")]
    pub domain: String,
    /// Its attributes that have a default, with the default.
    #[prost(message, repeated, tag = "11")]
    pub attribute_proto: Vec<Attribute>,
    /// Tells functions of the same domain and name apart.
    #[prost(string, tag = "13")]
    pub overload: String,
}

/// `GraphProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    /// The nodes, sorted so that each comes after the nodes that it depends on.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Stored tensors.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Tensor>,
    /// Its inputs.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfo>,
    /// Its outputs.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfo>,
    /// Types of other values.
    #[prost(message, repeated, tag = "13")]
    pub value_info: Vec<ValueInfo>,
    /// Stored sparse tensors.
    #[prost(message, repeated, tag = "15")]
    pub sparse_initializer: Vec<SparseTensor>,
}

/// `NodeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// The names of its input values. An absent optional input is empty.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// The names of its output values. An absent optional output is empty.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Its name, or empty.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The operator.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// The attributes.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
    /// Its domain. Empty means the standard one.
    #[prost(string, tag = "7")]
    pub domain: String,
    /// Which function of several with the same domain and name it calls.
    #[prost(string, tag = "8")]
    pub overload: String,
}

/// `AttributeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The value of a FLOAT.
    #[prost(float, tag = "2")]
    pub f: f32,
    /// The value of an INT.
    #[prost(int64, tag = "3")]
    pub i: i64,
    /// The value of a STRING.
    #[prost(bytes = "vec", tag = "4")]
    pub s: Vec<u8>,
    /// The value of a TENSOR.
    #[prost(message, optional, boxed, tag = "5")]
    pub t: Option<Box<Tensor>>,
    /// The value of a GRAPH.
    #[prost(message, optional, boxed, tag = "6")]
    pub g: Option<Box<Graph>>,
    /// The values of FLOATS.
    #[prost(float, repeated, tag = "7")]
    pub floats: Vec<f32>,
    /// The values of INTS.
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    /// The values of STRINGS.
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub strings: Vec<Vec<u8>>,
    /// The values of TENSORS.
    #[prost(message, repeated, tag = "10")]
    pub tensors: Vec<Tensor>,
    /// The values of GRAPHS.
    #[prost(message, repeated, tag = "11")]
    pub graphs: Vec<Graph>,
    /// The value of a SPARSE_TENSOR.
    #[prost(message, optional, boxed, tag = "22")]
    pub sparse_tensor: Option<Box<SparseTensor>>,
    /// Its type, as a number of `AttributeType`.
    #[prost(int32, tag = "20")]
    pub kind: i32,
    /// The attribute of a function that this one refers to.
    #[prost(string, tag = "21")]
    pub ref_attr_name: String,
}

/// `AttributeProto.AttributeType`: the kinds that recurrent nodes and the folded operators use.
pub(crate) mod kind {
    pub(crate) const FLOAT: i32 = 1;
    pub(crate) const INT: i32 = 2;
    pub(crate) const STRING: i32 = 3;
    pub(crate) const TENSOR: i32 = 4;
    pub(crate) const FLOATS: i32 = 6;
    pub(crate) const INTS: i32 = 7;
    pub(crate) const STRINGS: i32 = 8;

    /// The name of an attribute type in the standard.
    pub(crate) fn name(kind: i32) -> String {
        const NAMES: [&str; 9] =
            ["UNDEFINED", "FLOAT", "INT", "STRING", "TENSOR", "GRAPH", "FLOATS", "INTS", "STRINGS"];
        usize::try_from(kind)
            .ok()
            .and_then(|k| NAMES.get(k))
            .map_or_else(|| format!("type {kind}"), |n| n.to_string())
    }
}

/// `TensorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    /// The dimensions.
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// The element type, as a number of `TensorProto.DataType`.
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// Elements of FLOAT and COMPLEX64.
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    /// Elements of INT32 and narrower types.
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    /// Elements of STRING.
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub string_data: Vec<Vec<u8>>,
    /// Elements of INT64.
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    /// Its name.
    #[prost(string, tag = "8")]
    pub name: String,
    /// Elements of any type except STRING, little-endian.
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
    /// Elements of DOUBLE and COMPLEX128.
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    /// Elements of UINT32 and UINT64.
    #[prost(uint64, repeated, tag = "11")]
    pub uint64_data: Vec<u64>,
    /// Where the elements are, if they are not in this file.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<Entry>,
    /// 0 if the elements are in this file, 1 if they are in another one.
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

/// `StringStringEntryProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    /// What the entry says.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A message whose content is not read, only its presence.
#[derive(Clone, PartialEq, Message)]
pub struct Present {}

/// `SparseTensorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct SparseTensor {
    /// The values that are not 0. Their name is the name of the tensor.
    #[prost(message, optional, boxed, tag = "1")]
    pub values: Option<Box<Tensor>>,
    /// Where the values are: one index into the row-major tensor each, or one index for each dimension.
    #[prost(message, optional, boxed, tag = "2")]
    pub indices: Option<Box<Tensor>>,
    /// The dimensions.
    #[prost(int64, repeated, tag = "3")]
    pub dims: Vec<i64>,
}

/// `ValueInfoProto`.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfo {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its type.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<Type>,
}

/// `TypeProto`. Only tensor types are read; of the other types, only the presence.
#[derive(Clone, PartialEq, Message)]
pub struct Type {
    /// The type of a tensor.
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
    /// The type of a sequence.
    #[prost(message, optional, tag = "4")]
    pub sequence_type: Option<Present>,
    /// The type of a map.
    #[prost(message, optional, tag = "5")]
    pub map_type: Option<Present>,
    /// The type of a sparse tensor.
    #[prost(message, optional, tag = "8")]
    pub sparse_tensor_type: Option<Present>,
    /// The type of an optional value.
    #[prost(message, optional, tag = "9")]
    pub optional_type: Option<Present>,
}

/// `TypeProto.Tensor`.
#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    /// The element type, as a number of `TensorProto.DataType`.
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    /// The dimensions, if the file declares them.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    /// The dimensions.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// `TensorShapeProto.Dimension`.
#[derive(Clone, PartialEq, Message)]
pub struct Dimension {
    /// Its size or its name, if the file declares one.
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub value: Option<DimensionValue>,
}

/// What a file declares about a dimension.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum DimensionValue {
    /// Its size.
    #[prost(int64, tag = "1")]
    Value(i64),
    /// A name, or an expression of names.
    #[prost(string, tag = "2")]
    Param(String),
}

/// Decodes the message of a model, as the file has it.
pub(crate) fn message(bytes: &[u8]) -> Result<Model, Error> {
    let model = Model::decode(bytes).map_err(|e| malformed(&e.to_string()))?;
    model.graph().map(drop)?;
    Ok(model)
}

pub(crate) fn malformed(reason: &str) -> Error {
    Error::Malformed { reason: reason.to_string() }
}

impl Model {
    /// The main graph.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the model has none. [`decode`](crate::decode) refuses such a model.
    pub fn graph(&self) -> Result<&Graph, Error> {
        self.graph.as_ref().ok_or_else(|| malformed("it has no graph"))
    }
}
