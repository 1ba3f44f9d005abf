//! Bad arguments for packed bytes and their files.

use crate::list::{Refused, misaligned, refused};
use crate::support::*;
use rnnpack_capi::*;
use std::ffi::{CString, c_char};
use std::ptr::{null, null_mut};

pub(crate) fn bytes(list: &mut Refused) {
    let (case, other) = (Case::lstm(3, 4), Case::lstm(4, 5));
    let (one, two) = (layer(&case.desc()), layer(&other.desc()));
    let stack = stack(&[&one, &two]);
    let mut memory = packed(&one);
    let Aligned(bytes) = &mut memory;
    let count = info(&one).bytes_count;
    let (l, at, mut out) = (one.get(), bytes.as_mut_ptr().cast(), null_mut());
    refused!(list, RNNPACK_NULL_POINTER, "layer is NULL", rnnpack_layer_to_bytes(null(), at, count));
    refused!(list, RNNPACK_ALIGNMENT, "layer is not", rnnpack_layer_to_bytes(misaligned(l), at, count));
    refused!(list, RNNPACK_NULL_POINTER, "bytes is NULL", rnnpack_layer_to_bytes(l, null_mut(), count));
    refused!(list, RNNPACK_SHAPE, "bytes has", rnnpack_layer_to_bytes(l, at, count - 1));
    refused!(list, RNNPACK_SHAPE, "bytes has", rnnpack_layer_to_bytes(l, null_mut(), 0));
    refused!(list, RNNPACK_ARGUMENT, "pack each", rnnpack_layer_to_bytes(stack.get(), at, count));
    assert_eq!(info(&stack).bytes_count, 0);

    let start = at.cast_const();
    refused!(list, RNNPACK_NULL_POINTER, "layer is NULL", rnnpack_layer_in_place(start, count, null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "layer is not", rnnpack_layer_in_place(start, count, misaligned(&out)));
    refused!(list, RNNPACK_NULL_POINTER, "bytes is NULL", rnnpack_layer_in_place(null(), count, &mut out));
    refused!(list, RNNPACK_BYTES, "packed bytes", rnnpack_layer_in_place(null(), 0, &mut out));
    refused!(list, RNNPACK_BYTES, "bytes long", rnnpack_layer_in_place(start, count - 1, &mut out));
    refused!(list, RNNPACK_SHAPE, "bytes has", rnnpack_layer_in_place(start, usize::MAX, &mut out));
    let off = start.wrapping_byte_add(4);
    refused!(list, RNNPACK_BYTES, "64-byte boundary", rnnpack_layer_in_place(off, count - 4, &mut out));
    bytes[count - 1] ^= 1;
    refused!(list, RNNPACK_BYTES, "altered", rnnpack_layer_in_place(start, count, &mut out));
    let altered = File::new("altered", &bytes[..count]);
    refused!(list, RNNPACK_BYTES, "altered", rnnpack_layer_open(altered.path(), &mut out));
    bytes[count - 1] ^= 1;

    let file = File::new("packed", &bytes[..count]);
    refused!(list, RNNPACK_NULL_POINTER, "layer is NULL", rnnpack_layer_open(file.path(), null_mut()));
    refused!(list, RNNPACK_ALIGNMENT, "layer is not", rnnpack_layer_open(file.path(), misaligned(&out)));
    refused!(list, RNNPACK_NULL_POINTER, "path is NULL", rnnpack_layer_open(null(), &mut out));
    refused!(list, RNNPACK_ARGUMENT, "path is not UTF-8", rnnpack_layer_open(c"\xff".as_ptr(), &mut out));
    refused!(list, RNNPACK_NOT_FOUND, "file `none`", rnnpack_layer_open(c"none".as_ptr(), &mut out));
    refused!(list, RNNPACK_NOT_FOUND, "not a file", rnnpack_layer_open(c"/".as_ptr(), &mut out));
    if cfg!(unix) {
        refused!(list, RNNPACK_NOT_FOUND, "not a file", rnnpack_layer_open(c"/dev/zero".as_ptr(), &mut out));
    }
    let cut = File::new("cut", &bytes[..count - 64]);
    refused!(list, RNNPACK_BYTES, "header announces", rnnpack_layer_open(cut.path(), &mut out));
    let short = File::new("short", &bytes[..63]);
    refused!(list, RNNPACK_BYTES, "announces 64", rnnpack_layer_open(short.path(), &mut out));
    let other = File::new("other", &[7; 100]);
    refused!(list, RNNPACK_BYTES, "do not start", rnnpack_layer_open(other.path(), &mut out));
    // A file that has no data behind its header, but a length beyond all memory.
    let length = 1u64 << 42;
    bytes[16..24].copy_from_slice(&length.to_ne_bytes());
    let sparse = File::new("sparse", &bytes[..64]);
    if sparse.set_len(length) {
        refused!(list, RNNPACK_MEMORY, "no memory for the", rnnpack_layer_open(sparse.path(), &mut out));
    }
    assert!(out.is_null());
}

/// A file that is removed when this is dropped.
struct File(std::path::PathBuf, CString);

impl File {
    fn new(name: &str, bytes: &[u8]) -> File {
        let path = std::env::temp_dir().join(format!("rnnpack-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let name = CString::new(path.to_str().unwrap()).unwrap();
        File(path, name)
    }

    fn path(&self) -> *const c_char {
        self.1.as_ptr()
    }

    /// Whether the system can make the file so long.
    fn set_len(&self, length: u64) -> bool {
        std::fs::OpenOptions::new().write(true).open(&self.0).unwrap().set_len(length).is_ok()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}
