//! Converts tensors to tract's and back. tract has no bf16, so it is f32 there.

use half::f16;
use rnnpack_onnx::{DType, Tensor, TensorData};
use tract_onnx::prelude::Tensor as TractTensor;
use tract_onnx::prelude::{Datum, DatumType, TractResult};
use tract_onnx::tract_hir::internal::{TDim, TractErrorContext, bail};

/// The element type of a tract value outside of tract. tract's own type of dimensions becomes an integer.
pub(crate) fn dtype(datum: DatumType) -> Option<DType> {
    Some(match datum {
        DatumType::F32 => DType::F32,
        DatumType::F64 => DType::F64,
        DatumType::F16 => DType::F16,
        DatumType::I32 => DType::I32,
        DatumType::I64 | DatumType::TDim => DType::I64,
        DatumType::U8 => DType::U8,
        DatumType::I8 => DType::I8,
        DatumType::U16 => DType::U16,
        DatumType::I16 => DType::I16,
        DatumType::U32 => DType::U32,
        DatumType::U64 => DType::U64,
        DatumType::Bool => DType::Bool,
        _ => return None,
    })
}

pub(crate) fn to_tract(t: &Tensor) -> TractResult<TractTensor> {
    match t.data() {
        TensorData::F32(v) => TractTensor::from_shape(t.dims(), v),
        TensorData::F64(v) => TractTensor::from_shape(t.dims(), v),
        TensorData::F16(v) => TractTensor::from_shape(t.dims(), v),
        TensorData::BF16(v) => {
            let wide: Vec<f32> = v.iter().map(|&v| v.into()).collect();
            TractTensor::from_shape(t.dims(), &wide)
        }
        TensorData::I32(v) => TractTensor::from_shape(t.dims(), v),
        TensorData::I64(v) => TractTensor::from_shape(t.dims(), v),
        TensorData::U8(v) => TractTensor::from_shape(t.dims(), v),
        TensorData::I8(v) => TractTensor::from_shape(t.dims(), v),
        TensorData::U16(v) => TractTensor::from_shape(t.dims(), v),
        TensorData::I16(v) => TractTensor::from_shape(t.dims(), v),
        TensorData::U32(v) => TractTensor::from_shape(t.dims(), v),
        TensorData::U64(v) => TractTensor::from_shape(t.dims(), v),
        TensorData::Bool(v) => TractTensor::from_shape(t.dims(), v),
        other => bail!("a value of type {} cannot be given", other.dtype()),
    }
}

/// A tract value as a tensor of `dtype`. It must be the type that [`dtype`] returns, or bf16 for f32 that hold bf16
/// values.
pub(crate) fn from_tract(t: &TractTensor, dtype: DType) -> TractResult<Tensor> {
    fn values<T: Datum + Copy>(t: &TractTensor) -> TractResult<Vec<T>> {
        Ok(t.try_as_plain_ram()?.as_slice::<T>()?.to_vec())
    }
    let data = match t.datum_type() {
        dt if dt == TDim::datum_type() => TensorData::I64(values(&*t.cast_to::<i64>()?)?),
        DatumType::F32 => TensorData::F32(values(t)?),
        DatumType::F64 => TensorData::F64(values(t)?),
        DatumType::F16 => TensorData::F16(values::<f16>(t)?),
        DatumType::I32 => TensorData::I32(values(t)?),
        DatumType::I64 => TensorData::I64(values(t)?),
        DatumType::U8 => TensorData::U8(values(t)?),
        DatumType::I8 => TensorData::I8(values(t)?),
        DatumType::U16 => TensorData::U16(values(t)?),
        DatumType::I16 => TensorData::I16(values(t)?),
        DatumType::U32 => TensorData::U32(values(t)?),
        DatumType::U64 => TensorData::U64(values(t)?),
        DatumType::Bool => TensorData::Bool(values(t)?),
        other => bail!("a value of type {other:?} cannot be returned"),
    };
    let value = Tensor::from_data(t.shape().to_vec(), data).context("a value's dimensions overflow")?;
    if dtype != DType::BF16 {
        return Ok(value);
    }
    match value.as_slice::<f32>() {
        Some(carried) if carried.iter().all(|v| v.to_bits() & 0xffff == 0) => {
            value.round_to(dtype).context("f32 is rounded to bfloat16")
        }
        _ => bail!("a value of bfloat16 is not carried as f32 that hold its values"),
    }
}
