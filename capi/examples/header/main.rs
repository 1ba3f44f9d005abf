//! Prints the C header: `cargo run -p rnnpack-capi --example header > capi/include/rnnpack.h`.

mod generate;

fn main() {
    print!("{}", generate::header());
}
