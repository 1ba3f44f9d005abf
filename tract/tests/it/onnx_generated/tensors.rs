//! Tensors of the element types that recurrent nodes have.

use rnnpack_dev::onnx::Msg;
use rnnpack_onnx::{DType, Tensor, TensorData};

/// A tensor of this element type. The numbers are rounded to it.
pub(super) fn of(dtype: DType, dims: &[usize], values: &[f64]) -> Tensor {
    if dtype == DType::F64 {
        return Tensor::new(dims, values.to_vec()).unwrap();
    }
    let single = Tensor::new(dims, values.iter().map(|&v| v as f32).collect()).unwrap();
    single.round_to(dtype).unwrap()
}

/// The numbers of a tensor.
pub(super) fn numbers(t: &Tensor) -> Vec<f64> {
    match t.data() {
        TensorData::F64(v) => v.clone(),
        _ => t.to_f32().unwrap().as_slice::<f32>().unwrap().iter().map(|&v| v.into()).collect(),
    }
}

pub(super) fn bits(t: &Tensor) -> Vec<u64> {
    numbers(t).iter().map(|v| v.to_bits()).collect()
}

/// A stored tensor.
pub(super) fn stored(name: &str, t: &Tensor) -> Msg {
    let bytes: Vec<u8> = match t.data() {
        TensorData::F32(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::F64(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::F16(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::BF16(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        other => panic!("{:?}", other.dtype()),
    };
    let m = t.dims().iter().fold(Msg::default(), |m, &d| m.int(1, d as i64));
    m.int(2, number(t.dtype())).text(8, name).bytes(9, &bytes)
}

/// The number of an element type in a file.
pub(super) fn number(dtype: DType) -> i64 {
    match dtype {
        DType::F32 => 1,
        DType::F16 => 10,
        DType::F64 => 11,
        DType::BF16 => 16,
        other => panic!("{other}"),
    }
}
