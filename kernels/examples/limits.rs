//! Prints the limits of one core as one line of JSON.
//!
//! The limits are the multiply-add peak in flop/s, and the read bandwidth in bytes/s for buffers of the given sizes.
//!
//! ```sh
//! cargo run --release -p rnnpack-kernels --example limits -- 1048576
//! ```
#![allow(clippy::print_stdout, reason = "what it is for")]

use rnnpack_kernels::{Variant, probe};
use std::process::ExitCode;
use std::time::Duration;

const PROBE: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let sizes: Result<Vec<usize>, _> = std::env::args().skip(1).map(|arg| arg.parse()).collect();
    let (Ok(sizes), Some(variant)) = (sizes, Variant::available().next()) else {
        eprintln!("usage: limits [BYTES]...");
        return ExitCode::from(2);
    };
    let read: Vec<String> =
        sizes.iter().map(|&bytes| format!("{:.0}", probe::read_bandwidth(variant, bytes, PROBE))).collect();
    let peak = probe::fma_peak(variant, PROBE);
    println!(r#"{{"isa":"{variant}","peak_flops":{peak:.0},"read_bytes_per_s":[{}]}}"#, read.join(","));
    ExitCode::SUCCESS
}
