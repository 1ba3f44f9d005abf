//! Tensors from NumPy's files and archives, and random tensors.

use anyhow::{Context, Result, bail};
use ndarray::{ArrayD, ArrayViewD};
use ndarray_npy::{ReadNpyExt, ReadableElement, ViewElement, ViewNpyError, ViewNpyExt, WriteNpyExt};
use rnnpack_onnx::{Element, Tensor, TensorData};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;

/// Tensors by name.
pub(crate) type Tensors = BTreeMap<String, Tensor>;

/// The longest accepted header. NumPy's own headers have 128 bytes.
const MAX_HEADER: usize = 4096;
/// The largest accepted size of all arrays of an archive together, in bytes.
const MAX_ARCHIVE: u64 = 8 << 30;

/// Reads a `.npy` file.
pub(crate) fn read_npy(path: &Path) -> Result<Tensor> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    decode(&bytes).with_context(|| format!("cannot read {}", path.display()))
}

/// Reads all arrays of a `.npz` archive.
pub(crate) fn read_npz(path: &Path) -> Result<Tensors> {
    let read = || -> Result<Tensors> {
        let mut archive = zip::ZipArchive::new(File::open(path)?)?;
        let mut tensors = Tensors::new();
        let mut left = MAX_ARCHIVE;
        for i in 0..archive.len() {
            let entry = archive.by_index(i)?;
            let name = entry.name().strip_suffix(".npy").unwrap_or(entry.name()).to_owned();
            let mut bytes = Vec::new();
            let size = entry.take(left + 1).read_to_end(&mut bytes)? as u64;
            left =
                left.checked_sub(size).with_context(|| format!("its arrays exceed {MAX_ARCHIVE} bytes"))?;
            let tensor = decode(&bytes).with_context(|| format!("array {name:?}"))?;
            tensors.insert(name, tensor);
        }
        Ok(tensors)
    };
    read().with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a `.npy` file. Half precision is written as f32, which holds the same values.
pub(crate) fn write_npy(path: &Path, tensor: &Tensor) -> Result<()> {
    let write = || -> Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        let wide = tensor.to_f32();
        match wide.as_ref().unwrap_or(tensor).data() {
            TensorData::F32(v) => encode(tensor.dims(), v, &mut file),
            TensorData::F64(v) => encode(tensor.dims(), v, &mut file),
            TensorData::I64(v) => encode(tensor.dims(), v, &mut file),
            TensorData::I32(v) => encode(tensor.dims(), v, &mut file),
            TensorData::I8(v) => encode(tensor.dims(), v, &mut file),
            TensorData::U16(v) => encode(tensor.dims(), v, &mut file),
            TensorData::I16(v) => encode(tensor.dims(), v, &mut file),
            TensorData::U32(v) => encode(tensor.dims(), v, &mut file),
            TensorData::U64(v) => encode(tensor.dims(), v, &mut file),
            TensorData::U8(v) => encode(tensor.dims(), v, &mut file),
            TensorData::Bool(v) => encode(tensor.dims(), v, &mut file),
            _ => bail!("tensors of {} cannot be written", tensor.dtype()),
        }?;
        Ok(file.flush()?)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn encode<T: ndarray_npy::WritableElement>(dims: &[usize], values: &[T], to: impl Write) -> Result<()> {
    Ok(ArrayViewD::from_shape(dims, values)?.write_npy(to)?)
}

/// Reads the bytes of a `.npy` file.
fn decode(bytes: &[u8]) -> Result<Tensor> {
    check_header(bytes)?;
    let decoders: [Decoder; 7] = [
        decode_as::<f32>,
        decode_as::<i64>,
        decode_as::<i32>,
        decode_as::<bool>,
        decode_as::<f64>,
        decode_as::<u8>,
        decode_as::<i8>,
    ];
    for decode in decoders {
        if let Some(tensor) = decode(bytes)? {
            return Ok(tensor);
        }
    }
    bail!("its elements are not little-endian f32, f64, i64, i32, i8, u8 or bool: convert it with .astype")
}

/// Refuses headers that would make the decoder allocate or recurse too much.
fn check_header(bytes: &[u8]) -> Result<()> {
    let length = match bytes {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => u16::from_le_bytes([*a, *b]).into(),
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d, ..] => {
            u32::from_le_bytes([*a, *b, *c, *d])
        }
        _ => bail!("it is not a .npy array: save it with numpy.save"),
    };
    if length as usize > MAX_HEADER {
        bail!("its header claims {length} bytes, more than {MAX_HEADER}");
    }
    Ok(())
}

type Decoder = fn(&[u8]) -> Result<Option<Tensor>>;

/// `None` if the elements have another type.
fn decode_as<T: Element + ReadableElement + ViewElement>(bytes: &[u8]) -> Result<Option<Tensor>> {
    let tensor = |dims: &[usize], values: Vec<T>| Ok(Some(Tensor::new(dims, values)?));
    // The view checks all sizes against the available bytes before anything is allocated.
    match ArrayViewD::<T>::view_npy(bytes) {
        Ok(view) => tensor(view.shape(), view.iter().copied().collect()),
        Err(ViewNpyError::MisalignedData) => {
            let array = ArrayD::<T>::read_npy(bytes)?;
            tensor(array.shape(), array.iter().copied().collect())
        }
        Err(ViewNpyError::WrongDescriptor(_) | ViewNpyError::NonNativeEndian) => Ok(None),
        Err(e) => Err(e.into()),
    }
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
