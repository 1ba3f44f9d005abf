//! Generates the C header from the sources.

use cbindgen::{Builder, Config, DocumentationStyle, Language, Style};
use std::path::Path;

/// The sources, in the order in which a reader meets their parts.
const SOURCES: [&str; 12] = [
    "status", "isa", "pack", "layer", "stack", "bytes", "onnx", "state", "rows", "scratch", "forward", "step",
];

/// The C names of the types.
const TYPES: [(&str, &str); 10] = [
    ("Status", "rnnpack_status"),
    ("LayerHandle", "rnnpack_layer"),
    ("PackDesc", "rnnpack_pack_desc"),
    ("LayerDesc", "rnnpack_layer_desc"),
    ("LayerInfo", "rnnpack_layer_info"),
    ("OnnxHandle", "rnnpack_onnx"),
    ("NodeInfo", "rnnpack_node_info"),
    ("StateHandle", "rnnpack_state"),
    ("ScratchHandle", "rnnpack_scratch"),
    ("ForwardDesc", "rnnpack_forward_desc"),
];

const FRONT: &str = "\
/*
 * rnnpack: LSTM, GRU and RNN layers on CPUs.
 *
 * A layer (rnnpack_layer) holds packed weights, made of pointers or of a node of an ONNX file (rnnpack_onnx). A stack is a
 * layer made of others. A state (rnnpack_state) holds h and c of a stream, or of a batch of streams. A scratch
 * (rnnpack_scratch) is the memory that a call works in; one serves any number of layers and states. rnnpack_forward runs a
 * layer over a sequence, rnnpack_step runs one step.
 *
 * Every function but rnnpack_message returns a status, RNNPACK_OK (0) or why it failed; rnnpack_message then says it in
 * words. No function panics, aborts or throws for any arguments that keep this contract:
 *
 * - A handle is one that a function gave and that was not freed. A structure has at least as many bytes as its size says.
 *   A buffer has at least as many elements as its count says, a text ends with a NUL.
 * - While a call runs nobody writes what it reads (but for stop), and nobody uses what it writes. A call that a signal handler
 *   interrupts runs on.
 *
 * After fork all handles work in the child, but for states and scratches that another thread used at that moment: see
 * RNNPACK_FORKED.
 *
 * NULL, misaligned pointers, wrong sizes, counts and constants are no breach of it: they get a status.
 *
 * Sizes, counts and strides are in elements unless bytes are said. Numbers are IEEE-754 single precision.
 */";

/// The version in macros, for the preprocessor.
fn version() -> String {
    let parts = [
        ("MAJOR", env!("CARGO_PKG_VERSION_MAJOR")),
        ("MINOR", env!("CARGO_PKG_VERSION_MINOR")),
        ("PATCH", env!("CARGO_PKG_VERSION_PATCH")),
    ];
    let number =
        parts.iter().fold(0, |number, (_, part)| 1000 * number + part.parse::<u32>().expect("a number"));
    let parts = parts.map(|(name, part)| format!("#define RNNPACK_VERSION_{name} {part}\n")).concat();
    let string = env!("CARGO_PKG_VERSION");
    format!(
        "\n/* The version of this header; rnnpack_version gives that of the library. */\n{parts}\n\
         /* The same as a number to compare: 1000000 * MAJOR + 1000 * MINOR + PATCH. */\n\
         #define RNNPACK_VERSION {number}\n\n/* The same as text. */\n\
         #define RNNPACK_VERSION_STRING \"{string}\""
    )
}

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
        after_includes: Some(version()),
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
    comments(&String::from_utf8(header).expect("sources are UTF-8"))
}

/// Turns the comments that start with two slashes, which C89 lacks, into the others.
fn comments(header: &str) -> String {
    let mut out = Vec::new();
    let mut lines = header.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((before, first)) = line.split_once("//") else {
            out.push(line.to_owned());
            continue;
        };
        if !before.trim().is_empty() {
            out.push(format!("{before}/*{first} */"));
            continue;
        }
        let start = format!("{before}//");
        let rest: Vec<&str> = std::iter::from_fn(|| lines.next_if(|line| line.starts_with(&start)))
            .map(|line| &line[start.len()..])
            .collect();
        if rest.is_empty() {
            out.push(format!("{before}/*{first} */"));
        } else {
            out.push(format!("{before}/*{first}"));
            out.extend(rest.iter().map(|line| format!("{before} *{line}")));
            out.push(format!("{before} */"));
        }
    }
    out.join("\n") + "\n"
}
