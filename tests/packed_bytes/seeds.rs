//! Tests that the seeds of the fuzz target `packed_bytes` are packed bytes of this version. The target starts from them. Seeds that
//! are refused at their start would leave most of the reader untried, and nobody would see it.
//!
//! A new version of the format needs new seeds: small layers packed by `rnnpack pack` or `Layer::to_bytes`.
#![cfg(target_endian = "little")]

use rnnpack::bytes::BytesError;
use rnnpack::{Layer, WeightType};
use rnnpack_dev::embedded;
use rnnpack_dev::forms::forms;
use rnnpack_kernels::Error as KernelError;

/// The number of bytes of the longest input that the target tries; see fuzz/README.md.
const LONGEST: usize = 8192;

#[test]
fn the_fuzzers_seeds_are_loaded_and_have_every_form_of_a_cell_and_type_of_weights() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/packed_bytes");
    let mut missing: Vec<_> =
        forms().into_iter().flat_map(|cell| WeightType::ALL.map(|weights| (cell, weights))).collect();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.len() <= LONGEST, "{path:?} is cut");
        match Layer::from_static(embedded(&bytes, 0)) {
            Ok(layer) => {
                assert_eq!(layer.to_bytes().unwrap(), bytes, "{path:?}");
                missing.retain(|found| *found != (*layer.cell(), layer.weight_type()));
            }
            // Those for an instruction set that this CPU lacks. All before that was right, the checksum too.
            Err(rnnpack::Error::Kernel(KernelError::Bytes(BytesError::Isa { .. }))) => {}
            Err(e) => panic!("{path:?}: {e}"),
        }
    }
    assert!(missing.is_empty(), "no seed has {missing:?}");
}
