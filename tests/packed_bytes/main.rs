//! Tests that wrong packed bytes, and bytes for other machines, are refused for the right reason. `reader.rs` tests what
//! stands in them, `layout.rs` how many there are, and `seeds.rs` what the fuzzer starts from.

mod layout;
mod reader;
mod seeds;

use rnnpack::bytes::{self, BytesError, VERSION};
use rnnpack::{Activation, Cell, Direction, Layer, LstmCell, Shape, Target, Variant};
use rnnpack_dev::forms::forms;
use rnnpack_dev::{Case, embedded};
use rnnpack_kernels::{Error as KernelError, PackedWeights};

/// A small bidirectional layer with peepholes, for 4 lanes. The biases end between two boundaries.
fn packed() -> Vec<u8> {
    let cell = Cell::Lstm(LstmCell { input_forget: true, clip: Some(2.0), ..LstmCell::default() });
    pack(&Case { peepholes: true, ..case(cell) })
}

pub(crate) fn case(cell: Cell) -> Case {
    Case::new(cell, Shape { input: 1, hidden: 2, direction: Direction::Bidirectional }, 1, 1, 5)
}

pub(crate) fn pack(case: &Case) -> Vec<u8> {
    case.contents().weights().to_bytes(Target::by_name("portable").unwrap()).unwrap()
}

/// Why bytes are refused that start `off` bytes after a boundary. A copy of them must be refused for the same reason.
fn refusal(bytes: &[u8], off: usize) -> KernelError {
    let kernels = |layer: Result<Layer, rnnpack::Error>| match layer.err() {
        Some(rnnpack::Error::Kernel(e)) => e,
        other => panic!("expected a refusal of the kernels, got {other:?}"),
    };
    let error = kernels(Layer::from_static(embedded(bytes, off)));
    if error != KernelError::Bytes(BytesError::Alignment) {
        assert_eq!(error, kernels(Layer::from_bytes(embedded(bytes, 5))));
    }
    error
}

fn bytes_error(bytes: &[u8]) -> BytesError {
    match refusal(bytes, 0) {
        KernelError::Bytes(e) => e,
        other => panic!("expected a refusal of the bytes, got {other}"),
    }
}

/// The bytes with `new` at `at`, and with the length and checksum that fit.
fn forged(mut bytes: Vec<u8>, at: usize, new: &[u8]) -> Vec<u8> {
    bytes[at..at + new.len()].copy_from_slice(new);
    let length = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&length.to_ne_bytes());
    if let Some(rnnpack::Error::Kernel(KernelError::Bytes(BytesError::Checksum { got, .. }))) =
        Layer::from_static(embedded(&bytes, 0)).err()
    {
        bytes[24..28].copy_from_slice(&got.to_ne_bytes());
    }
    bytes
}

/// The refusal of a header with this word at this place, although its checksum is right.
fn with_word(bytes: Vec<u8>, at: usize, word: u32) -> KernelError {
    refusal(&forged(bytes, at, &word.to_ne_bytes()), 0)
}

fn header(what: &'static str) -> KernelError {
    KernelError::Bytes(BytesError::Header { what })
}

const PADDING: KernelError = KernelError::Bytes(BytesError::Padding);

fn size(missing: bool) -> KernelError {
    KernelError::Bytes(BytesError::Size { missing })
}

#[test]
fn what_was_packed_is_taken() {
    let bytes = packed();
    assert_eq!(Layer::from_static(embedded(&bytes, 0)).unwrap().to_bytes().unwrap(), bytes);
    assert_eq!(forged(bytes.clone(), 0, &[]), bytes);
}

#[test]
fn bytes_are_copied_from_any_boundary_and_not_needed_afterwards() {
    for case in forms().into_iter().map(case) {
        let bytes = pack(&case);
        for off in [0, 1, 4, 31, 63] {
            let mut lent = vec![0; bytes.len() + 64];
            let start = (lent.as_ptr().align_offset(64) + off) % 64;
            lent[start..][..bytes.len()].copy_from_slice(&bytes);
            let layer = Layer::from_bytes(&lent[start..][..bytes.len()]).unwrap();
            lent.fill(0xff);
            assert_eq!(layer.to_bytes().unwrap(), bytes);
            assert_eq!(layer.bytes_size().unwrap(), bytes.len());
        }
    }
}

#[test]
fn a_header_that_announces_more_than_there_is_takes_no_memory() {
    for at in [56, 60] {
        let bytes = forged(packed(), at, &u32::MAX.to_ne_bytes());
        let mut refused = true;
        let memory = allocation_counter::measure(|| refused = Layer::from_bytes(&bytes).is_err());
        assert!(refused && memory.bytes_max < 2 * bytes.len() as u64, "{memory:?}");
    }
}

#[test]
fn every_truncation_is_refused_by_its_length() {
    let bytes = packed();
    for got in 0..bytes.len() {
        let expected = if got < 64 { 64 } else { bytes.len() as u64 };
        assert_eq!(bytes_error(&bytes[..got]), BytesError::Length { expected, got });
    }
    let (expected, got) = (bytes.len() as u64, bytes.len() + 1);
    assert_eq!(bytes_error(&[&bytes[..], &[0]].concat()), BytesError::Length { expected, got });
}

#[test]
fn every_altered_bit_is_refused_by_what_it_breaks() {
    let bytes = packed();
    for bit in 0..8 * bytes.len() {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let error = bytes_error(&altered);
        let expected = match bit / 8 {
            0..8 => matches!(error, BytesError::Magic),
            8..12 => matches!(error, BytesError::ByteOrder),
            12..16 => matches!(error, BytesError::Version { .. }),
            16..24 => matches!(error, BytesError::Length { .. }),
            _ => matches!(error, BytesError::Checksum { .. }),
        };
        assert!(expected, "bit {bit}: {error}");
    }
}

#[test]
fn every_replaced_byte_is_refused() {
    let bytes = packed();
    for (at, value) in (0..bytes.len()).flat_map(|at| [0, 0x5a, 0xff].map(|value| (at, value))) {
        let mut altered = bytes.clone();
        altered[at] = value;
        let taken = Layer::from_static(embedded(&altered, 0)).is_ok() || Layer::from_bytes(&altered).is_ok();
        assert!(altered == bytes || !taken, "byte {at}: {value}");
    }
}

#[test]
fn bytes_off_their_boundary_are_refused() {
    for off in 1..64 {
        assert_eq!(refusal(&packed(), off), KernelError::Bytes(BytesError::Alignment));
    }
    assert_eq!(refusal(&[], 1), KernelError::Bytes(BytesError::Alignment));
}

#[test]
fn another_version_and_another_byte_order_are_refused() {
    let error = with_word(packed(), 12, VERSION + 1);
    assert_eq!(error, KernelError::Bytes(BytesError::Version { got: VERSION + 1 }));
    assert_eq!(error.to_string(), "packed bytes are of version 5, expected version 4");
    let swapped = 0x0102_0304_u32.swap_bytes();
    assert_eq!(with_word(packed(), 8, swapped), KernelError::Bytes(BytesError::ByteOrder));
}

#[test]
fn another_instruction_set_and_lane_width_are_refused() {
    let error = refusal(&forged(packed(), 32, b"avx1024\0\0"), 0);
    assert_eq!(error, KernelError::Bytes(BytesError::Isa { name: "avx1024".into() }));
    let names: Vec<&str> = Variant::available().map(Variant::name).collect();
    let words = format!(
        "packed bytes are for the instruction set \"avx1024\", which is not available here; there are {}",
        names.join(" ")
    );
    assert_eq!(error.to_string(), words);
    assert_eq!(refusal(&forged(packed(), 32, &[0xff]), 0), header("instruction set"));
    let error = with_word(packed(), 28, 8);
    assert_eq!(error, KernelError::Bytes(BytesError::Lanes { expected: 4, got: 8 }));
    assert_eq!(with_word(packed(), 28, 0), KernelError::Bytes(BytesError::Lanes { expected: 4, got: 0 }));
}

#[test]
fn every_target_is_packed_for_here_and_refused_where_it_cannot_run() {
    let contents = case(Cell::gru(false)).contents();
    for name in Variant::COMPILED {
        let target = Target::by_name(name).unwrap();
        let bytes = contents.weights().to_bytes(target).unwrap();
        assert_eq!(bytes[28..32], (target.lanes() as u32).to_ne_bytes());
        match (Layer::from_static(embedded(&bytes, 0)), Variant::by_name(name)) {
            (Ok(layer), Some(variant)) => assert_eq!(layer.plan().variant, variant),
            (Err(e), None) => assert!(e.to_string().contains(name)),
            (layer, variant) => panic!("{variant:?}: {:?}", layer.err()),
        }
    }
    assert_eq!(Target::by_name("sse9"), None);
}

#[test]
fn headers_that_are_never_written_are_refused_whatever_their_checksum() {
    assert_eq!(with_word(packed(), 48, 3), header("direction"));
    assert_eq!(with_word(packed(), 48, 5 << 16), header("type of weights"));
    assert_eq!(with_word(packed(), 52, 3), header("operator"));
    assert_eq!(with_word(packed(), 60, 0), KernelError::Zero { what: "hidden_size" });
    // Sizes that differ from those of the weights, and one direction in place of two.
    for (at, word) in [(56, u32::MAX), (60, u32::MAX), (56, 5), (60, 5), (56, 0), (48, 0)] {
        let error = with_word(packed(), at, word);
        let refused = [size(true), size(false)].contains(&error) || word < 6 && error == PADDING;
        assert!(refused, "{at}, {word}: {error}");
    }
    let option = |what, value: f32| KernelError::Option { what, value };
    assert_eq!(with_word(packed(), 64 + 4, (-1f32).to_bits()), option("clip", -1.0));
    assert_eq!(with_word(packed(), 64 + 8, 11), header("activation"));
    // A parameter that the function does not have, an unknown flag, and bytes after the options.
    for (at, word) in [(64 + 12, 4), (64, 16), (64 + 44, 4), (124, 4), (44, 4)] {
        assert_eq!(with_word(packed(), at, word), PADDING, "byte {at}");
    }
    // Calls that flush flush their weights too.
    assert_eq!(with_word(packed(), 64, 8), header("flag of subnormals"));
    let affine = pack(&case(Cell::rnn(Activation::Affine { alpha: 1.0, beta: 0.0 })));
    let infinite = f32::INFINITY;
    assert_eq!(with_word(affine, 64 + 16, infinite.to_bits()), option("activation beta", infinite));
    assert_eq!(with_word(pack(&case(Cell::gru(true))), 64, 3), header("peephole flag"));
    let mut longer = packed();
    longer.resize(longer.len() + 64, 0);
    assert_eq!(refusal(&forged(longer, 0, &[]), 0), size(false));
    // Between two sections: W, R (of 2 k) and the bias have 48 bytes for each k.
    let bias = 3 * 64 + 64 + 128;
    assert_eq!(packed()[bias + 48..bias + 64], [0; 16]);
    assert_eq!(with_word(packed(), bias + 48, 1), PADDING);
}

#[test]
fn what_is_wrong_with_bytes_is_said_in_plain_words() {
    let words = [
        (header("direction"), "the header of the packed bytes has an unknown direction"),
        (PADDING, "packed bytes have non-zero bytes where padding must be zero"),
        (size(true), "packed bytes end before the weights that their header announces"),
        (size(false), "packed bytes go on behind the weights that their header announces"),
        (KernelError::Bytes(BytesError::Magic), "the bytes do not start as packed bytes do"),
    ];
    for (error, words) in words {
        assert_eq!(error.to_string(), words);
        assert!(std::error::Error::source(&error).is_none(), "{words} would be printed twice");
    }
}

#[test]
fn directions_that_do_not_go_together_are_not_written() {
    let variant = Variant::by_name("portable").unwrap();
    let of = |cell, hidden| {
        let shape = Shape { input: 1, hidden, direction: Direction::Forward };
        let contents = Case::new(cell, shape, 1, 1, 0).contents();
        PackedWeights::new(variant, &contents.weights().directions()[0]).unwrap()
    };
    let (lstm, gru) = (|hidden| of(Cell::lstm(), hidden), of(Cell::gru(true), 2));
    let refused = [
        (Direction::Forward, vec![]),
        (Direction::Bidirectional, vec![lstm(2)]),
        (Direction::Reverse, vec![lstm(2), lstm(2)]),
        (Direction::Bidirectional, vec![lstm(2), lstm(3)]),
        (Direction::Bidirectional, vec![lstm(2), gru]),
    ];
    for (direction, packed) in refused {
        let error = bytes::to_bytes(direction, &packed).unwrap_err();
        assert_eq!(error, KernelError::Bytes(BytesError::Directions));
    }
    assert!(bytes::to_bytes(Direction::Bidirectional, &[lstm(2), lstm(2)]).is_ok());
}
