//! Hostile files: a small one with many features, and mutations of files.

use super::{
    Dim, FLOAT, Graph, Numbers, attr_g, attr_i, attr_ints, node, tensor, tensor_bool, tensor_i64, untyped,
    value,
};

/// A model with an LSTM inside an `If`. The weights are computed from stored ones.
pub fn small() -> Vec<u8> {
    let mut n = Numbers(3);
    let mut body = Graph {
        stored: vec![
            tensor("w", &[3, 8], &n.floats(24)),
            tensor("r", &[2, 1, 4, 2], &n.floats(16)),
            tensor_i64("zero", &[1], &[0]),
            tensor_i64("shape", &[3], &[1, -1, 2]),
            tensor("b", &[1, 32], &n.floats(32)),
            tensor_i64("sixteen", &[1], &[16]),
            tensor_i64("one", &[1], &[1]),
        ],
        ..Graph::default()
    };
    body.nodes = vec![
        node("Transpose", "", &["w"], &["w1"], &[attr_ints("perm", &[1, 0])]),
        node("Unsqueeze", "", &["w1", "zero"], &["W"], &[]),
        node("Reshape", "", &["r", "shape"], &["R"], &[]),
        node("Slice", "", &["b", "zero", "sixteen", "one"], &["B"], &[]),
        node("LSTM", "lstm", &["X", "W", "R", "B"], &["Z"], &[attr_i("hidden_size", 2)]),
    ];
    body.outputs = vec![untyped("Z")];
    let mut other = Graph::default();
    other.nodes.push(node("Identity", "", &["X"], &["V"], &[]));
    other.outputs = vec![untyped("V")];
    let branches = [attr_g("then_branch", &body.msg()), attr_g("else_branch", &other.msg())];
    let graph = Graph {
        nodes: vec![node("If", "", &["yes"], &["Y"], &branches)],
        stored: vec![tensor_bool("yes", &[], &[true])],
        inputs: vec![value("X", FLOAT, &[Dim::Name("T"), Dim::N(2), Dim::N(3)])],
        outputs: vec![untyped("Y")],
    };
    graph.model(17)
}

/// A copy in which some bytes are changed, inserted, removed or doubled.
pub fn mutate(bytes: &[u8], n: &mut Numbers) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + n.below(2) {
        if bytes.is_empty() {
            break;
        }
        let (at, len) = (n.below(bytes.len()), 1 + n.below(8));
        let end = (at + len).min(bytes.len());
        match n.below(12) {
            0..3 => bytes[at] ^= 1 << n.below(8),
            3..6 => bytes[at] = bytes[at].wrapping_add(1),
            6 => bytes[at] = bytes[at].wrapping_sub(1),
            7 => bytes[at] = n.bits() as u8,
            8 => bytes[at] = [0, 0x7f, 0x80, 0xff][n.below(4)],
            9 => drop(bytes.drain(at..end)),
            10 => {
                let piece = bytes[at..end].to_vec();
                let to = n.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => drop(bytes.splice(at..at, (0..len).map(|_| 0xff).collect::<Vec<u8>>())),
        }
    }
    bytes
}
