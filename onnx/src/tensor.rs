//! Tensors: what goes into and comes out of a whole model, and what a file stores.

use crate::brief::List;
use crate::proto;
use half::{bf16, f16};
use std::fmt;

/// Declares the element types once: the variant, its Rust type, its number in `TensorProto.DataType`
/// and its name in the ONNX standard.
macro_rules! element_types {
    ($($variant:ident($ty:ty) = $number:literal, $name:literal;)*) => {
        /// The element type of a [`Tensor`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum DType {
            $(#[doc = concat!("`", stringify!($ty), "`, ONNX ", $name, ".")] $variant,)*
        }

        impl fmt::Display for DType {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => stringify!($ty),)* })
            }
        }

        impl DType {
            /// The element type with this number in `TensorProto.DataType`, when tensors can hold it.
            pub fn from_onnx(number: i32) -> Option<DType> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// The bytes of an element.
            pub fn size(self) -> usize {
                match self { $(Self::$variant => size_of::<$ty>(),)* }
            }

            /// The number in `TensorProto.DataType`.
            pub fn number(self) -> i32 {
                match self { $(Self::$variant => $number,)* }
            }
        }

        /// The elements of a [`Tensor`], row-major.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum TensorData {
            $(#[doc = concat!("`", stringify!($ty), "`, ONNX ", $name, ".")] $variant(Vec<$ty>),)*
        }

        impl TensorData {
            /// The element type.
            pub fn dtype(&self) -> DType {
                match self { $(Self::$variant(_) => DType::$variant,)* }
            }

            /// How many elements there are.
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(v) => v.len(),)* }
            }

            /// The bytes that the elements take.
            pub fn bytes(&self) -> usize {
                match self { $(Self::$variant(v) => size_of_val(v.as_slice()),)* }
            }

            /// A new tensor's elements, picked from these by index. The indices must be in range.
            pub fn gather(&self, indices: impl Iterator<Item = usize>) -> TensorData {
                match self { $(Self::$variant(v) => Self::$variant(indices.map(|i| v[i]).collect()),)* }
            }

            /// Appends `range` of `other`, which must have the same element type.
            pub fn append(&mut self, other: &TensorData, range: std::ops::Range<usize>) {
                match (self, other) {
                    $((Self::$variant(a), Self::$variant(b)) => a.extend_from_slice(&b[range]),)*
                    _ => unreachable!("the caller compares the element types"),
                }
            }
        }

        $(impl Element for $ty {
            fn slice(data: &TensorData) -> Option<&[$ty]> {
                match data { TensorData::$variant(v) => Some(v), _ => None }
            }
            fn wrap(values: Vec<$ty>) -> TensorData {
                TensorData::$variant(values)
            }
        })*
    };
}

element_types! {
    F32(f32) = 1, "FLOAT";
    U8(u8) = 2, "UINT8";
    I8(i8) = 3, "INT8";
    I32(i32) = 6, "INT32";
    I64(i64) = 7, "INT64";
    Bool(bool) = 9, "BOOL";
    F16(f16) = 10, "FLOAT16";
    F64(f64) = 11, "DOUBLE";
    BF16(bf16) = 16, "BFLOAT16";
}

impl TensorData {
    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A Rust type that a [`Tensor`] can hold.
pub trait Element: Copy + sealed::Sealed {
    /// The elements, when they are of this type.
    #[doc(hidden)]
    fn slice(data: &TensorData) -> Option<&[Self]>;
    /// Elements of this type.
    #[doc(hidden)]
    fn wrap(values: Vec<Self>) -> TensorData;
}

mod sealed {
    /// Keeps [`super::Element`] to the types listed here.
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for u8 {}
    impl Sealed for i8 {}
    impl Sealed for i32 {}
    impl Sealed for i64 {}
    impl Sealed for bool {}
    impl Sealed for f64 {}
    impl Sealed for half::f16 {}
    impl Sealed for half::bf16 {}
}

/// A dense row-major tensor.
///
/// ```
/// use rnnpack_onnx::{DType, Tensor};
/// let t = Tensor::new(&[2, 3], vec![1f32, 2., 3., 4., 5., 6.]).unwrap();
/// assert_eq!((t.dims(), t.dtype()), (&[2, 3][..], DType::F32));
/// assert_eq!(t.as_slice::<f32>().unwrap()[4], 5.0);
/// assert!(Tensor::new(&[2, 2], vec![1i64]).is_none());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    dims: Vec<usize>,
    data: TensorData,
}

impl Tensor {
    /// A tensor of `dims`, row-major. `None` when the product of `dims` overflows or is not the number of
    /// values.
    pub fn new<T: Element>(dims: &[usize], values: Vec<T>) -> Option<Tensor> {
        Tensor::from_data(dims.to_vec(), T::wrap(values))
    }

    /// [`Tensor::new`] from elements whose type is known at run time.
    pub fn from_data(dims: Vec<usize>, data: TensorData) -> Option<Tensor> {
        (element_count(&dims)? == data.len()).then_some(Tensor { dims, data })
    }

    /// A tensor without dimensions, which holds one value.
    pub fn scalar<T: Element>(value: T) -> Tensor {
        Tensor { dims: Vec::new(), data: T::wrap(vec![value]) }
    }

    /// The dimensions.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// The elements, row-major.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// The elements, row-major, when they are of type `T`.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        T::slice(&self.data)
    }

    /// The same numbers as f32, for a tensor of f16, bf16 or f32; `None` for one of another element type.
    pub fn to_f32(&self) -> Option<Tensor> {
        let values = match &self.data {
            TensorData::F32(v) => v.clone(),
            TensorData::F16(v) => v.iter().map(|x| x.to_f32()).collect(),
            TensorData::BF16(v) => v.iter().map(|x| x.to_f32()).collect(),
            _ => return None,
        };
        Some(Tensor { dims: self.dims.clone(), data: TensorData::F32(values) })
    }

    /// The numbers of a tensor of f32, rounded to nearest, ties to even, as `dtype`: f16, bf16 or f32. `None` for a
    /// tensor or a `dtype` of another element type.
    ///
    /// ```
    /// use rnnpack_onnx::{DType, Tensor};
    /// let t = Tensor::scalar(2049f32).round_to(DType::F16).unwrap();
    /// assert_eq!(t.to_f32().unwrap().as_slice(), Some(&[2048f32][..]));
    /// ```
    pub fn round_to(&self, dtype: DType) -> Option<Tensor> {
        let values = self.as_slice::<f32>()?.iter();
        let data = match dtype {
            DType::F32 => self.data.clone(),
            DType::F16 => TensorData::F16(values.map(|&x| f16::from_f32(x)).collect()),
            DType::BF16 => TensorData::BF16(values.map(|&x| bf16::from_f32(x)).collect()),
            _ => return None,
        };
        Some(Tensor { dims: self.dims.clone(), data })
    }

    /// The bytes of memory that the elements and the dimensions take.
    pub fn bytes(&self) -> usize {
        self.data.bytes().saturating_add(size_of_val(self.dims.as_slice()))
    }

    /// Reads a tensor of a file. `Err` says what is wrong with it.
    pub fn from_proto(t: &proto::Tensor) -> Result<Tensor, String> {
        let dims = check_stored(t)?;
        let dtype = DType::from_onnx(t.data_type)
            .ok_or_else(|| format!("it is {}, which is not read", dtype_name(t.data_type)))?;
        let data = if t.raw_data.is_empty() { typed_data(t, dtype)? } else { raw_data(&t.raw_data, dtype) };
        Tensor::from_data(dims, data).ok_or_else(|| "its data does not fill its dimensions".into())
    }
}

/// The product of `dims`; `None` when it, or its size in bytes for any element type, overflows. A zero
/// makes the product zero only when the other dimensions do not overflow.
pub fn element_count(dims: &[usize]) -> Option<usize> {
    let bytes = dims.iter().try_fold(8usize, |n, &d| n.checked_mul(d.max(1)))?;
    if bytes > isize::MAX as usize {
        return None;
    }
    Some(dims.iter().product())
}

/// Checks that a stored tensor is whole: in this file, dimensions that multiply, and exactly the data that
/// they ask for. Returns the dimensions.
pub fn check_stored(t: &proto::Tensor) -> Result<Vec<usize>, String> {
    if t.data_location != 0 || !t.external_data.is_empty() {
        return Err("its data is in an external file, which is not read".into());
    }
    let dims = t
        .dims
        .iter()
        .map(|&d| usize::try_from(d).map_err(|_| format!("dimension {d} in {}", List(&t.dims))))
        .collect::<Result<Vec<usize>, String>>()?;
    let count = element_count(&dims).ok_or_else(|| format!("the product of {} overflows", List(&dims)))?;
    let storage = storage(t.data_type).ok_or_else(|| format!("unknown element type {}", t.data_type))?;
    let typed = storage.typed_len(t);
    let all = [
        t.float_data.len(),
        t.int32_data.len(),
        t.string_data.len(),
        t.int64_data.len(),
        t.double_data.len(),
        t.uint64_data.len(),
    ];
    if all.iter().sum::<usize>() != typed || (typed > 0 && !t.raw_data.is_empty()) {
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

/// The storage of an element type, by its number in `TensorProto.DataType`.
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
    /// The bytes of raw data that `count` elements take; `None` for strings unless there are none.
    fn raw_bytes(&self, count: usize) -> Option<usize> {
        match self.bits {
            0 => (count == 0).then_some(0),
            4 => Some(count.div_ceil(2)),
            bits => count.checked_mul(bits / 8),
        }
    }

    /// How many values of the typed field `count` elements take.
    fn typed_values(&self, count: usize) -> usize {
        match self.bits {
            4 => count.div_ceil(2),
            64 if self.field == Field::Float => count.saturating_mul(2),
            128 => count.saturating_mul(2),
            _ => count,
        }
    }

    /// How many values the typed field holds.
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

/// The name that the standard gives to an element type.
pub fn dtype_name(number: i32) -> String {
    storage(number).map_or_else(|| format!("element type {number}"), |s| s.name.to_string())
}

/// The elements in the typed field of `t`.
fn typed_data(t: &proto::Tensor, dtype: DType) -> Result<TensorData, String> {
    fn narrow<T: TryFrom<i32>>(values: &[i32]) -> Result<Vec<T>, String> {
        let one = |&v: &i32| T::try_from(v).map_err(|_| format!("value {v} does not fit its element type"));
        values.iter().map(one).collect()
    }
    Ok(match dtype {
        DType::F32 => TensorData::F32(t.float_data.clone()),
        DType::F64 => TensorData::F64(t.double_data.clone()),
        DType::I64 => TensorData::I64(t.int64_data.clone()),
        DType::I32 => TensorData::I32(t.int32_data.clone()),
        DType::U8 => TensorData::U8(narrow(&t.int32_data)?),
        DType::I8 => TensorData::I8(narrow(&t.int32_data)?),
        DType::Bool => TensorData::Bool(t.int32_data.iter().map(|&v| v != 0).collect()),
        DType::F16 => TensorData::F16(narrow(&t.int32_data)?.into_iter().map(f16::from_bits).collect()),
        DType::BF16 => TensorData::BF16(narrow(&t.int32_data)?.into_iter().map(bf16::from_bits).collect()),
    })
}

/// The elements in raw data, which is little-endian and of the right length.
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
        DType::Bool => TensorData::Bool(raw.iter().map(|&b| b != 0).collect()),
        DType::F16 => TensorData::F16(read(raw, f16::from_le_bytes)),
        DType::BF16 => TensorData::BF16(read(raw, bf16::from_le_bytes)),
    }
}
