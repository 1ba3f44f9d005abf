//! Tests that the committed header is up to date.

#[path = "../examples/header/generate.rs"]
mod generate;

#[test]
fn the_committed_header_is_what_cbindgen_generates() {
    let committed = include_str!("../include/rnnpack.h");
    let how = "make it anew: cargo run -p rnnpack-capi --example header > capi/include/rnnpack.h";
    assert!(generate::header() == committed, "capi/include/rnnpack.h is stale; {how}");
}
