//! Fuzzes packed layers with arbitrary bytes, as they are and with a right length and checksum.
//!
//! A refusal must not panic. Bytes that are accepted must be written again unchanged, and the layer must run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnnpack::bytes::{BytesError, VERSION};
use rnnpack::{Error, Layer, Scratch};

/// The boundary that packed bytes start on, and the size of their header, in bytes.
const LINE: usize = 64;

/// Lends the bytes on a 64-byte boundary.
fn lend<T>(bytes: &[u8], use_them: impl FnOnce(&'static [u8]) -> T) -> T {
    let memory = Box::into_raw(vec![0; bytes.len() + LINE].into_boxed_slice());
    // SAFETY: nobody uses the box until it is taken back.
    let lent: &'static mut [u8] = unsafe { &mut *memory };
    let start = lent.as_ptr().align_offset(LINE);
    lent[start..][..bytes.len()].copy_from_slice(bytes);
    let result = use_them(&lent[start..][..bytes.len()]);
    // SAFETY: `use_them` drops everything that it makes of the bytes. It returns only words or numbers.
    drop(unsafe { Box::from_raw(memory) });
    result
}

/// The words of the refusal, or `None` if the bytes are accepted. Then the layer is checked.
fn load(bytes: &[u8]) -> Option<String> {
    lend(bytes, |bytes| {
        // A copy is taken or refused as the bytes in place are, wherever they start.
        let shifted = [&[0xff], bytes].concat();
        let copy = Layer::from_bytes(&shifted[1..]);
        let layer = match Layer::from_static(bytes) {
            Ok(layer) => layer,
            Err(e) => {
                assert_eq!(copy.err().map(|copy| copy.to_string()), Some(e.to_string()));
                return Some(e.to_string());
            }
        };
        assert_eq!(layer.to_bytes().unwrap(), bytes);
        assert_eq!(copy.unwrap().to_bytes().unwrap(), bytes);
        assert_eq!(layer.bytes_size().unwrap(), bytes.len());
        assert!(layer.packed_bytes() < bytes.len());
        let shape = layer.shape();
        let mut state = layer.new_state(2).unwrap();
        let (x, mut y) = (vec![0.5; 2 * shape.input], vec![0.0; 2 * shape.output()]);
        let mut scratch = Scratch::new();
        (0..2).for_each(|_| layer.step(&x, &mut state, &mut y, &mut scratch).unwrap());
        // Rows share nothing, so equal rows have equal results.
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
