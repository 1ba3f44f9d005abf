//! Prints what bounds a step of one row, for each type of weights: the bytes of R, and the instructions of its product.
//!
//! ```sh
//! cargo run --release -p rnnpack-kernels --example bare_products
//! ```
//!
//! Columns, in µs for a step of an LSTM with one row, each the fastest of many:
//!
//! - `bytes`: R's bytes are read, forward and backward in turn, and nothing else is done;
//! - `slots`: the instructions of R·h on weights in L1, as many as R has. They load, widen, multiply and add two panels at a
//!   time, with 8 chains, as a tile of one row does;
//! - `bare`: the same instructions on the bytes of R;
//! - `step`: a step of a layer with one input, in a call of 64: the product, the projection of that input, quantizing of h and
//!   the activations;
//! - `rest`: what a step takes beside the larger of `bytes` and `slots`, and `over`: `bare` divided by this larger one.
//!
//! The sides take turns. It needs AVX-512 with VNNI and BF16.
#![allow(clippy::print_stdout, reason = "what it is for")]

#[cfg(target_arch = "x86_64")]
#[path = "bare_products/avx512.rs"]
mod avx512;
#[cfg(target_arch = "x86_64")]
#[path = "bare_products/step.rs"]
mod step;

#[cfg(target_arch = "x86_64")]
fn main() {
    use rnnpack_kernels::WeightType;

    if !avx512::detect() {
        println!("this CPU lacks AVX-512 with VNNI and BF16");
        return;
    }
    println!("H     weights    bytes    slots     bare     step     rest  over");
    for hidden in [128, 256, 512, 1024] {
        let types = WeightType::ALL;
        let mut sides: Vec<_> =
            types.iter().map(|&w| (avx512::Bare::new(w, hidden), step::Step::new(w, hidden))).collect();
        let mut best = vec![[f64::INFINITY; 4]; types.len()];
        for _ in 0..60 {
            for ((bare, step), best) in sides.iter_mut().zip(&mut best) {
                let measured = [bare.bytes(), bare.slots(), bare.product(), step.micros()];
                best.iter_mut().zip(measured).for_each(|(best, us)| *best = best.min(us));
            }
        }
        for (weights, [bytes, slots, bare, step]) in types.iter().zip(best) {
            let name = weights.name();
            let bound = bytes.max(slots);
            let (rest, over) = (step - bound, bare / bound);
            println!(
                "{hidden:<5} {name:8} {bytes:8.2} {slots:8.2} {bare:8.2} {step:8.2} {rest:8.2}  {over:.2}"
            );
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    println!("this program is for x86-64 with AVX-512");
}
