//! Arbitrary bytes as a packed layer, with the length and the checksum that go with them: what is refused stays refused
//! without a panic, and what is taken is written again as it was and computes something.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnnpack::bytes::{BytesError, VERSION};
use rnnpack::{Error, Layer, Scratch};

/// The boundary that packed bytes start on, and bytes of their header.
const LINE: usize = 64;

/// Lends the bytes, on a 64-byte boundary.
fn lend<T>(bytes: &[u8], use_them: impl FnOnce(&'static [u8]) -> T) -> T {
    let memory = Box::into_raw(vec![0; bytes.len() + LINE].into_boxed_slice());
    // SAFETY: the box is not touched until it is taken back.
    let lent: &'static mut [u8] = unsafe { &mut *memory };
    let start = lent.as_ptr().align_offset(LINE);
    lent[start..][..bytes.len()].copy_from_slice(bytes);
    let result = use_them(&lent[start..][..bytes.len()]);
    // SAFETY: all that `use_them` makes of the bytes is dropped in it: it returns words or numbers.
    drop(unsafe { Box::from_raw(memory) });
    result
}

/// The refusal of the bytes; or what was taken is checked.
fn load(bytes: &[u8]) -> Option<String> {
    lend(bytes, |bytes| {
        let layer = match Layer::from_static(bytes) {
            Ok(layer) => layer,
            Err(e) => return Some(e.to_string()),
        };
        assert_eq!(layer.to_bytes().unwrap(), bytes);
        assert!(layer.packed_bytes() < bytes.len());
        let shape = layer.shape();
        let mut state = layer.new_state(2).unwrap();
        let (x, mut y) = (vec![0.5; 2 * shape.input], vec![0.0; 2 * shape.output()]);
        let mut scratch = Scratch::new();
        (0..2).for_each(|_| layer.step(&x, &mut state, &mut y, &mut scratch).unwrap());
        // Rows share nothing, so equal ones have equal results.
        let rows = y.chunks(2 * shape.hidden).map(|y| y.split_at(shape.hidden));
        assert!(
            rows.into_iter().all(|(a, b)| a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan()))
        );
        None
    })
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    let untouched = load(&bytes);
    if bytes.len() < LINE {
        return assert!(untouched.is_some());
    }
    let length = bytes.len() as u64;
    bytes[..8].copy_from_slice(b"rnnpack\0");
    bytes[8..12].copy_from_slice(&0x0102_0304_u32.to_ne_bytes());
    bytes[12..16].copy_from_slice(&VERSION.to_ne_bytes());
    bytes[16..24].copy_from_slice(&length.to_ne_bytes());
    let checksum = lend(&bytes, |bytes| match Layer::from_static(bytes) {
        Err(Error::Kernel(rnnpack_kernels::Error::Bytes(BytesError::Checksum { got, .. }))) => Some(got),
        _ => None,
    });
    if let Some(checksum) = checksum {
        bytes[24..28].copy_from_slice(&checksum.to_ne_bytes());
    }
    assert!(load(&bytes).is_none_or(|refusal| !refusal.is_empty()));
});
