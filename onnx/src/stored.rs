//! Tensors as a file stores them: checks, reads and writes them.

use crate::brief::List;
use crate::proto;
use crate::tensor::{DType, Tensor, TensorData, TensorError, element_count};
use half::{bf16, f16};
use std::borrow::Cow;
use std::fmt::Display;

impl Tensor {
    /// Reads a tensor in the form in which a file stores it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_proto(t: &proto::Tensor) -> Result<Tensor, String> {
        let dims = check_stored(t)?;
        let dtype = DType::from_number(t.data_type)
            .ok_or_else(|| format!("it is {}, which is not read", dtype_name(t.data_type)))?;
        let data = if t.raw_data.is_empty() { typed_data(t, dtype)? } else { raw_data(&t.raw_data, dtype) };
        Tensor::from_data(dims, data).map_err(|e| e.to_string())
    }

    /// A tensor with dimensions `dims` whose row-major elements are `bytes`, little-endian. A boolean is one byte.
    ///
    /// # Errors
    /// [`TensorError`] if the product of `dims` overflows, or if `bytes` are not exactly its elements.
    pub fn from_le_bytes(dtype: DType, dims: Vec<usize>, bytes: &[u8]) -> Result<Tensor, TensorError> {
        let expected = element_count(&dims).ok_or_else(|| TensorError::Overflow { dims: dims.clone() })?;
        match bytes.len() == expected * dtype.size() {
            true => Tensor::from_data(dims, raw_data(bytes, dtype)),
            false => Err(TensorError::Length { dims, expected, got: bytes.len() / dtype.size() }),
        }
    }

    /// The tensor in the form in which a file stores it, with this name.
    pub fn to_proto(&self, name: &str) -> proto::Tensor {
        let dims = self.dims().iter().map(|&d| d as i64).collect();
        let raw_data = match self.data() {
            TensorData::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::F64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::U8(v) => v.clone(),
            TensorData::I8(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::U16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::I16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::U32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::U64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::Bool(v) => v.iter().map(|&x| x.into()).collect(),
            TensorData::F16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::BF16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        let data_type = self.dtype().number();
        proto::Tensor { name: name.to_string(), dims, data_type, raw_data, ..Default::default() }
    }
}

/// Checks that a stored tensor is complete: it is in this file, its dimensions do not overflow, and it has exactly the
/// data for them. Returns the dimensions.
pub(crate) fn check_stored(t: &proto::Tensor) -> Result<Vec<usize>, String> {
    if is_external(t) {
        return Err("its data is in an external file: load the model by its path, or give its folder".into());
    }
    let Extents { dims, count, storage } = Extents::of(t)?;
    let typed = storage.typed_len(t);
    if typed_values(t) != typed || (typed > 0 && !t.raw_data.is_empty()) {
        return Err("its data is in a field of another element type, or in two fields".into());
    }
    if !t.raw_data.is_empty() || typed == 0 {
        let expected = storage.raw_bytes(count).ok_or("strings cannot be raw data")?;
        if t.raw_data.len() != expected {
            let found = t.raw_data.len();
            return Err(format!("{found} bytes of raw data, where {} needs {expected}", List(&dims)));
        }
    } else if typed != storage.typed_values(count) {
        let expected = storage.typed_values(count);
        return Err(format!("{typed} values, where {} needs {expected}", List(&dims)));
    }
    Ok(dims)
}

/// Whether the data of a tensor is in another file.
pub(crate) fn is_external(t: &proto::Tensor) -> bool {
    // Some files name the place of the data without marking the tensor.
    let unmarked = !t.external_data.is_empty() && t.raw_data.is_empty() && typed_values(t) == 0;
    t.data_location != 0 || unmarked
}

/// The bytes that a tensor must have in another file.
pub(crate) fn external_bytes(t: &proto::Tensor) -> Result<usize, String> {
    let Extents { count, storage, .. } = Extents::of(t)?;
    if !t.raw_data.is_empty() || typed_values(t) > 0 {
        return Err("its data is in this file and in another one".into());
    }
    storage.raw_bytes(count).ok_or_else(|| "strings cannot be external data".into())
}

/// The elements of a complete tensor in the form of raw data, and the bytes of one.
pub(crate) fn raw_elements(t: &proto::Tensor) -> Result<(Cow<'_, [u8]>, usize), String> {
    let tensor = Tensor::from_proto(t)?;
    let size = tensor.dtype().size();
    match t.raw_data.is_empty() {
        true => Ok((Cow::Owned(tensor.to_proto("").raw_data), size)),
        false => Ok((Cow::Borrowed(&t.raw_data), size)),
    }
}

/// The number of values in all typed fields.
fn typed_values(t: &proto::Tensor) -> usize {
    let floats = t.float_data.len() + t.double_data.len();
    floats + t.int32_data.len() + t.int64_data.len() + t.uint64_data.len() + t.string_data.len()
}

/// The extents of a tensor, as its dimensions and its element type say.
struct Extents {
    dims: Vec<usize>,
    count: usize,
    storage: Storage,
}

impl Extents {
    fn of(t: &proto::Tensor) -> Result<Extents, String> {
        let one = |&d: &i64| usize::try_from(d).map_err(|_| format!("dimension {d} in {}", List(&t.dims)));
        let dims = t.dims.iter().map(one).collect::<Result<Vec<usize>, String>>()?;
        let count =
            element_count(&dims).ok_or_else(|| format!("the product of {} overflows", List(&dims)))?;
        let storage = storage(t.data_type).ok_or_else(|| format!("unknown element type {}", t.data_type))?;
        Ok(Extents { dims, count, storage })
    }
}

/// How `TensorProto` stores an element type: its name, its bits in raw data, and its typed field.
struct Storage {
    name: &'static str,
    bits: usize,
    field: Field,
}

/// The typed field of `TensorProto` that holds an element type.
#[derive(Clone, Copy, PartialEq)]
enum Field {
    Float,
    Int32,
    Str,
    Int64,
    Double,
    Uint64,
}

/// How the element type with this number of `TensorProto.DataType` is stored.
fn storage(number: i32) -> Option<Storage> {
    use Field::{Double, Float, Int32, Int64, Str, Uint64};
    let (name, bits, field) = match number {
        1 => ("FLOAT", 32, Float),
        2 => ("UINT8", 8, Int32),
        3 => ("INT8", 8, Int32),
        4 => ("UINT16", 16, Int32),
        5 => ("INT16", 16, Int32),
        6 => ("INT32", 32, Int32),
        7 => ("INT64", 64, Int64),
        8 => ("STRING", 0, Str),
        9 => ("BOOL", 8, Int32),
        10 => ("FLOAT16", 16, Int32),
        11 => ("DOUBLE", 64, Double),
        12 => ("UINT32", 32, Uint64),
        13 => ("UINT64", 64, Uint64),
        14 => ("COMPLEX64", 64, Float),
        15 => ("COMPLEX128", 128, Double),
        16 => ("BFLOAT16", 16, Int32),
        17 => ("FLOAT8E4M3FN", 8, Int32),
        18 => ("FLOAT8E4M3FNUZ", 8, Int32),
        19 => ("FLOAT8E5M2", 8, Int32),
        20 => ("FLOAT8E5M2FNUZ", 8, Int32),
        21 => ("UINT4", 4, Int32),
        22 => ("INT4", 4, Int32),
        23 => ("FLOAT4E2M1", 4, Int32),
        24 => ("FLOAT8E8M0", 8, Int32),
        _ => return None,
    };
    Some(Storage { name, bits, field })
}

impl Storage {
    /// The bytes of raw data for `count` elements. `None` for strings, except if `count` is 0.
    fn raw_bytes(&self, count: usize) -> Option<usize> {
        match self.bits {
            0 => (count == 0).then_some(0),
            4 => Some(count.div_ceil(2)),
            bits => count.checked_mul(bits / 8),
        }
    }

    /// How many values of the typed field `count` elements need.
    fn typed_values(&self, count: usize) -> usize {
        match self.bits {
            4 => count.div_ceil(2),
            64 if self.field == Field::Float => count.saturating_mul(2),
            128 => count.saturating_mul(2),
            _ => count,
        }
    }

    /// How many values the typed field has.
    fn typed_len(&self, t: &proto::Tensor) -> usize {
        match self.field {
            Field::Float => t.float_data.len(),
            Field::Int32 => t.int32_data.len(),
            Field::Str => t.string_data.len(),
            Field::Int64 => t.int64_data.len(),
            Field::Double => t.double_data.len(),
            Field::Uint64 => t.uint64_data.len(),
        }
    }
}

/// The name in the standard of the element type with this number of `TensorProto.DataType`.
pub fn dtype_name(number: i32) -> String {
    storage(number).map_or_else(|| format!("element type {number}"), |s| s.name.to_string())
}

/// The elements in the typed field of `t`.
fn typed_data(t: &proto::Tensor, dtype: DType) -> Result<TensorData, String> {
    fn narrow<T: TryFrom<V>, V: Copy + Display>(values: &[V]) -> Result<Vec<T>, String> {
        let one = |&v: &V| T::try_from(v).map_err(|_| format!("value {v} does not fit its element type"));
        values.iter().map(one).collect()
    }
    Ok(match dtype {
        DType::F32 => TensorData::F32(t.float_data.clone()),
        DType::F64 => TensorData::F64(t.double_data.clone()),
        DType::I64 => TensorData::I64(t.int64_data.clone()),
        DType::I32 => TensorData::I32(t.int32_data.clone()),
        DType::U8 => TensorData::U8(narrow(&t.int32_data)?),
        DType::I8 => TensorData::I8(narrow(&t.int32_data)?),
        DType::U16 => TensorData::U16(narrow(&t.int32_data)?),
        DType::I16 => TensorData::I16(narrow(&t.int32_data)?),
        DType::U32 => TensorData::U32(narrow(&t.uint64_data)?),
        DType::U64 => TensorData::U64(t.uint64_data.clone()),
        DType::Bool => TensorData::Bool(t.int32_data.iter().map(|&v| v != 0).collect()),
        DType::F16 => TensorData::F16(narrow(&t.int32_data)?.into_iter().map(f16::from_bits).collect()),
        DType::BF16 => TensorData::BF16(narrow(&t.int32_data)?.into_iter().map(bf16::from_bits).collect()),
    })
}

/// The elements in raw data. It must be little-endian and of the right length.
fn raw_data(raw: &[u8], dtype: DType) -> TensorData {
    fn read<const N: usize, T>(raw: &[u8], one: fn([u8; N]) -> T) -> Vec<T> {
        raw.as_chunks::<N>().0.iter().map(|&b| one(b)).collect()
    }
    match dtype {
        DType::F32 => TensorData::F32(read(raw, f32::from_le_bytes)),
        DType::F64 => TensorData::F64(read(raw, f64::from_le_bytes)),
        DType::I64 => TensorData::I64(read(raw, i64::from_le_bytes)),
        DType::I32 => TensorData::I32(read(raw, i32::from_le_bytes)),
        DType::U8 => TensorData::U8(raw.to_vec()),
        DType::I8 => TensorData::I8(read(raw, i8::from_le_bytes)),
        DType::U16 => TensorData::U16(read(raw, u16::from_le_bytes)),
        DType::I16 => TensorData::I16(read(raw, i16::from_le_bytes)),
        DType::U32 => TensorData::U32(read(raw, u32::from_le_bytes)),
        DType::U64 => TensorData::U64(read(raw, u64::from_le_bytes)),
        DType::Bool => TensorData::Bool(raw.iter().map(|&b| b != 0).collect()),
        DType::F16 => TensorData::F16(read(raw, f16::from_le_bytes)),
        DType::BF16 => TensorData::BF16(read(raw, bf16::from_le_bytes)),
    }
}
