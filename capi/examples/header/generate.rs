//! Generates the C header from the sources.

use cbindgen::{Builder, Config, DocumentationStyle, Language, Style};
use std::path::Path;

/// The sources, in the order in which a reader meets their parts.
const SOURCES: [&str; 6] = ["status", "isa", "layer", "onnx", "state", "forward"];

/// The C names of the types.
const TYPES: [(&str, &str); 8] = [
    ("Status", "rnnpack_status"),
    ("LayerHandle", "rnnpack_layer"),
    ("LayerDesc", "rnnpack_layer_desc"),
    ("LayerInfo", "rnnpack_layer_info"),
    ("OnnxHandle", "rnnpack_onnx"),
    ("NodeInfo", "rnnpack_node_info"),
    ("StateHandle", "rnnpack_state"),
    ("ForwardDesc", "rnnpack_forward_desc"),
];

const FRONT: &str = "\
/*
 * rnnpack: LSTM, GRU and RNN layers on CPUs.
 *
 * A layer (rnnpack_layer) holds packed weights, made of pointers or of a node of an ONNX file (rnnpack_onnx). A state
 * (rnnpack_state) holds h and c of a stream, or of a batch of streams, and the memory that calls work in. rnnpack_forward
 * runs a layer over a sequence, rnnpack_step runs one step.
 *
 * Every function but rnnpack_message returns a status, RNNPACK_OK (0) or why it failed; rnnpack_message then says it in
 * words. No function panics, aborts or throws for any arguments that keep this contract:
 *
 * - A handle is one that a function gave and that was not freed. A structure has at least as many bytes as its size says.
 *   A buffer has at least as many elements as its count says, a text ends with a NUL.
 * - While a call runs nobody writes what it reads, and nobody uses what it writes.
 *
 * NULL, misaligned pointers, wrong sizes, counts and constants are no breach of it: they get a status.
 *
 * Sizes, counts and strides are in elements unless bytes are said. Numbers are IEEE-754 single precision.
 */";

/// The text of the header.
pub(crate) fn header() -> String {
    let mut config = Config {
        language: Language::C,
        style: Style::Both,
        cpp_compat: true,
        usize_is_size_t: true,
        header: Some(FRONT.into()),
        include_guard: Some("RNNPACK_H".into()),
        no_includes: true,
        sys_includes: vec!["stddef.h".into(), "stdint.h".into()],
        documentation_style: DocumentationStyle::C99,
        line_length: 110,
        ..Config::default()
    };
    config.export.rename = TYPES.map(|(rust, c)| (rust.to_owned(), c.to_owned())).into();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let builder = Builder::new().with_config(config);
    let builder = SOURCES.iter().fold(builder, |b, name| b.with_src(sources.join(name).with_extension("rs")));
    let mut header = Vec::new();
    builder.generate().expect("the sources parse").write(&mut header);
    String::from_utf8(header).expect("sources are UTF-8")
}
