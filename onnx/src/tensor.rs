//! Tensors: the inputs and outputs of a whole model, and the weights of a node.

use crate::brief::List;
use half::{bf16, f16};
use std::fmt;

/// Declares each element type once: the variant, its Rust type, its number in `TensorProto.DataType` and its name in
/// the ONNX standard.
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
            /// The element type with this number in `TensorProto.DataType`, if a tensor can hold it.
            pub fn from_number(number: i32) -> Option<DType> {
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
            /// Their type.
            pub fn dtype(&self) -> DType {
                match self { $(Self::$variant(_) => DType::$variant,)* }
            }

            /// The number of elements.
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(v) => v.len(),)* }
            }

            /// The bytes that the elements take.
            pub(crate) fn bytes(&self) -> usize {
                match self { $(Self::$variant(v) => size_of_val(v.as_slice()),)* }
            }

            /// Copies elements into new data, by index. The indices must be in range.
            pub(crate) fn gather(&self, indices: impl Iterator<Item = usize>) -> TensorData {
                match self { $(Self::$variant(v) => Self::$variant(indices.map(|i| v[i]).collect()),)* }
            }

            /// Appends `range` of `other`, which must have the same element type.
            pub(crate) fn append(&mut self, other: &TensorData, range: std::ops::Range<usize>) {
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
    U16(u16) = 4, "UINT16";
    I16(i16) = 5, "INT16";
    I32(i32) = 6, "INT32";
    I64(i64) = 7, "INT64";
    Bool(bool) = 9, "BOOL";
    F16(f16) = 10, "FLOAT16";
    F64(f64) = 11, "DOUBLE";
    U32(u32) = 12, "UINT32";
    U64(u64) = 13, "UINT64";
    BF16(bf16) = 16, "BFLOAT16";
}

impl TensorData {
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A Rust type that a [`Tensor`] can hold.
pub trait Element: Copy + sealed::Sealed {
    /// The elements, if they are of this type.
    #[doc(hidden)]
    fn slice(data: &TensorData) -> Option<&[Self]>;
    /// Wraps elements of this type.
    #[doc(hidden)]
    fn wrap(values: Vec<Self>) -> TensorData;
}

mod sealed {
    /// Restricts [`super::Element`] to the types listed here.
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for u8 {}
    impl Sealed for i8 {}
    impl Sealed for u16 {}
    impl Sealed for i16 {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
    impl Sealed for i32 {}
    impl Sealed for i64 {}
    impl Sealed for bool {}
    impl Sealed for f64 {}
    impl Sealed for half::f16 {}
    impl Sealed for half::bf16 {}
}

/// Why elements and dimensions do not make a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TensorError {
    /// The product of the dimensions, or the size in bytes, overflows the address range.
    Overflow {
        /// The dimensions.
        dims: Vec<usize>,
    },
    /// The number of elements is not the product of the dimensions.
    Length {
        /// The dimensions.
        dims: Vec<usize>,
        /// Their product.
        expected: usize,
        /// The number of elements given.
        got: usize,
    },
}

impl fmt::Display for TensorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overflow { dims } => write!(f, "the product of the dimensions {} overflows", List(dims)),
            Self::Length { dims, expected, got } => {
                write!(f, "{got} elements, where the dimensions {} call for {expected}", List(dims))
            }
        }
    }
}

impl std::error::Error for TensorError {}

/// A dense row-major tensor.
///
/// ```
/// use rnnpack_onnx::{DType, Tensor};
/// let t = Tensor::new(&[2, 3], vec![1f32, 2., 3., 4., 5., 6.]).unwrap();
/// assert_eq!((t.dims(), t.dtype()), (&[2, 3][..], DType::F32));
/// assert_eq!(t.as_slice::<f32>().unwrap()[4], 5.0);
/// let error = Tensor::new(&[2, 2], vec![1i64]).unwrap_err();
/// assert_eq!(error.to_string(), "1 elements, where the dimensions [2, 2] call for 4");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    dims: Vec<usize>,
    data: TensorData,
}

impl Tensor {
    /// A tensor with dimensions `dims` and row-major `values`.
    ///
    /// # Errors
    /// [`TensorError`] if the product of `dims` overflows, or if it is not the number of values.
    pub fn new<T: Element>(dims: &[usize], values: Vec<T>) -> Result<Tensor, TensorError> {
        Tensor::from_data(dims.to_vec(), T::wrap(values))
    }

    /// Like [`Tensor::new`], for elements whose type is known only at run time.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn from_data(dims: Vec<usize>, data: TensorData) -> Result<Tensor, TensorError> {
        match element_count(&dims) {
            None => Err(TensorError::Overflow { dims }),
            Some(expected) if expected != data.len() => {
                Err(TensorError::Length { dims, expected, got: data.len() })
            }
            Some(_) => Ok(Tensor { dims, data }),
        }
    }

    /// A tensor with no dimensions, which holds one value.
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

    /// The elements, row-major, if they are of type `T`.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        T::slice(&self.data)
    }

    /// The same numbers as f32. `None` if the element type is not f16, bf16 or f32.
    pub fn to_f32(&self) -> Option<Tensor> {
        let values = match &self.data {
            TensorData::F32(v) => v.clone(),
            TensorData::F16(v) => v.iter().map(|x| x.to_f32()).collect(),
            TensorData::BF16(v) => v.iter().map(|x| x.to_f32()).collect(),
            _ => return None,
        };
        Some(Tensor { dims: self.dims.clone(), data: TensorData::F32(values) })
    }

    /// Rounds a tensor of f32 to `dtype` (f16, bf16 or f32), to nearest, ties to even. `None` if this tensor is not
    /// f32, or if `dtype` is another type.
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

    /// The bytes of memory that the elements and the dimensions need.
    pub(crate) fn bytes(&self) -> usize {
        self.data.bytes().saturating_add(size_of_val(self.dims.as_slice()))
    }
}

/// The product of `dims`. `None` if it overflows, or if its size in bytes does for some element type. A dimension of 0
/// counts as 1 in this check: it does not hide an overflow of the others.
pub(crate) fn element_count(dims: &[usize]) -> Option<usize> {
    let bytes = dims.iter().try_fold(8usize, |n, &d| n.checked_mul(d.max(1)))?;
    if bytes > isize::MAX as usize {
        return None;
    }
    Some(dims.iter().product())
}
