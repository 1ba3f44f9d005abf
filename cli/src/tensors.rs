//! Tensors by name, NumPy's files, and random tensors.

use crate::npy::decode;
use anyhow::{Context, Result, bail};
use ndarray::ArrayViewD;
use ndarray_npy::WriteNpyExt;
use rnnpack_onnx::{Tensor, TensorData};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

/// Tensors by name.
pub(crate) type Tensors = BTreeMap<String, Tensor>;

/// Reads a `.npy` file.
pub(crate) fn read_npy(path: &Path) -> Result<Tensor> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    decode(&bytes).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes the bytes of a `.npy` file. Half precision is written as f32, which holds the same values.
pub(crate) fn write_npy(tensor: &Tensor, file: &mut dyn Write) -> Result<()> {
    let wide = tensor.to_f32();
    match wide.as_ref().unwrap_or(tensor).data() {
        TensorData::F32(v) => encode(tensor.dims(), v, file),
        TensorData::F64(v) => encode(tensor.dims(), v, file),
        TensorData::I64(v) => encode(tensor.dims(), v, file),
        TensorData::I32(v) => encode(tensor.dims(), v, file),
        TensorData::I8(v) => encode(tensor.dims(), v, file),
        TensorData::I16(v) => encode(tensor.dims(), v, file),
        TensorData::U16(v) => encode(tensor.dims(), v, file),
        TensorData::U32(v) => encode(tensor.dims(), v, file),
        TensorData::U64(v) => encode(tensor.dims(), v, file),
        TensorData::U8(v) => encode(tensor.dims(), v, file),
        TensorData::Bool(v) => encode(tensor.dims(), v, file),
        _ => bail!("tensors of {} cannot be written", tensor.dtype()),
    }
}

fn encode<T: ndarray_npy::WritableElement>(dims: &[usize], values: &[T], to: &mut dyn Write) -> Result<()> {
    Ok(ArrayViewD::from_shape(dims, values)?.write_npy(to)?)
}

/// Random values from SplitMix64, equal on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`. `n` must be far below 2^32.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 32).wrapping_mul(n as u64) >> 32) as usize
    }

    /// Puts `items` into random order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// `len` values, uniform in ±`scale`.
    pub(crate) fn uniform(&mut self, len: usize, scale: f32) -> Result<Vec<f32>> {
        let mut values = Vec::new();
        values
            .try_reserve_exact(len)
            .with_context(|| format!("no memory for {len} f32: give smaller sizes"))?;
        let unit = |bits: u64| (bits >> 40) as f32 / (1u32 << 23) as f32 - 1.0;
        values.extend((0..len).map(|_| scale * unit(self.next())));
        Ok(values)
    }
}
