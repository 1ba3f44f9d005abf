//! Packed bytes: layers that were packed ahead of time.

use crate::lent::{self, Lent};
use crate::{Failure, LayerHandle, RNNPACK_ARGUMENT, RNNPACK_MEMORY, RNNPACK_NOT_FOUND, Status, status};
use rnnpack::bytes::BytesError;
use rnnpack::{Error, KernelError, Layer};
use rnnpack_kernels::memory::reserve;
use std::ffi::{c_char, c_void};
use std::fs::{self, File};
use std::io::{self, Read};

/// The bytes that the header of packed bytes has.
const HEADER: usize = 64;

/// Packs a layer to bytes, for rnnpack_layer_in_place and rnnpack_layer_open. They are for the layer's instruction set and this
/// machine's order of bytes, and are those of Layer::to_bytes in Rust.
///
/// bytes, count: out; as many as bytes_count of rnnpack_layer_get_info says.
///
/// Fails with RNNPACK_SHAPE for another count, RNNPACK_ARGUMENT for a stack of several layers: pack each of them.
/// Threads: any number at once, also on one layer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_layer_to_bytes(
    layer: *const LayerHandle,
    bytes: *mut c_void,
    count: usize,
) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe {
        let [layer] = lent::handle(layer, "layer")?.stack.layers() else {
            let reason =
                format_args!("a stack of several layers has no packed bytes: pack each of its layers");
            return Err(Failure::new(RNNPACK_ARGUMENT, reason));
        };
        let to = Lent::new(bytes.cast::<u8>().cast_const(), count, "bytes")?.expect(layer.bytes_size()?)?;
        let packed = layer.to_bytes()?;
        to.start.copy_from_nonoverlapping(std::ptr::NonNull::from(&*packed).cast(), packed.len());
        Ok(())
    })
}

/// Makes a layer of packed bytes, which are used in place and not copied: those of a program, or of a file that is mapped into
/// memory.
///
/// bytes, count: the packed bytes, from a 64-byte boundary on. Nobody may change or free them as long as the layer, or a stack
/// made of it, lives. layer: out, NULL where the call fails.
///
/// Fails with RNNPACK_BYTES where the bytes are altered, cut, of another version, not aligned, or for an instruction set that
/// this machine lacks. Bytes of any contents can do no worse than compute wrong numbers.
/// Owner: the caller, until rnnpack_layer_free.
/// Threads: any number at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_layer_in_place(
    bytes: *const c_void,
    count: usize,
    layer: *mut *mut LayerHandle,
) -> Status {
    // SAFETY: by the contract; the bytes stay as they are for as long as the layer lives.
    status::run(|| unsafe {
        lent::create(layer, "layer", || {
            let bytes = Lent::new(bytes.cast::<u8>(), count, "bytes")?.slice();
            Ok(LayerHandle::new(vec![Layer::from_static(bytes)?])?)
        })
    })
}

/// Makes a layer of the packed bytes in a file. They are copied.
///
/// path: text in UTF-8. layer: out, NULL where the call fails.
///
/// Fails with RNNPACK_NOT_FOUND where the file cannot be read, RNNPACK_MEMORY where it does not fit into memory, and with
/// RNNPACK_BYTES as rnnpack_layer_in_place.
/// Owner: the caller, until rnnpack_layer_free.
/// Threads: any number at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnnpack_layer_open(path: *const c_char, layer: *mut *mut LayerHandle) -> Status {
    // SAFETY: by the contract.
    status::run(|| unsafe {
        lent::create(layer, "layer", || {
            let bytes = read(lent::text(path, "path")?)?;
            Ok(LayerHandle::new(vec![Layer::from_bytes(&bytes)?])?)
        })
    })
}

/// Reads a file of packed bytes. Its header is checked first, so that another file is refused without being read.
fn read(path: &str) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::new(RNNPACK_NOT_FOUND, format_args!("file `{path}`: {error}"));
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(Failure::new(RNNPACK_NOT_FOUND, format_args!("`{path}` is not a file")));
    }
    let (mut file, length) = (File::open(path).map_err(failed)?, metadata.len());
    let mut bytes = Vec::with_capacity(HEADER);
    file.by_ref().take(HEADER as u64).read_to_end(&mut bytes).map_err(failed)?;
    // The length that the header announces is reported as wrong, after everything before it was found right.
    match Layer::from_bytes(&bytes) {
        Err(Error::Kernel(KernelError::Bytes(BytesError::Length { expected, .. }))) if expected == length => {
        }
        Err(Error::Kernel(KernelError::Bytes(BytesError::Length { expected, .. }))) => {
            let reason = format_args!("file `{path}` has {length} bytes, its header announces {expected}");
            return Err(Failure::new(crate::RNNPACK_BYTES, reason));
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Ok(bytes),
    }
    let more = usize::try_from(length).ok().and_then(|length| length.checked_sub(bytes.len()));
    more.and_then(|more| reserve(&mut bytes, more)).ok_or_else(|| {
        Failure::new(RNNPACK_MEMORY, format_args!("no memory for the {length} bytes of file `{path}`"))
    })?;
    file.take(length - bytes.len() as u64).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
