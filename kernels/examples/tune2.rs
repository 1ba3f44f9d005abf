#![allow(missing_docs)]
use rnnpack_kernels::*;
fn main() {
    let v = Variant::available().next().unwrap();
    let best = |f: &(dyn Fn() -> f64 + Sync)| (0..30).map(|_| f()).fold(0.0, f64::max);
    println!("single {:.1}", best(&|| probe::fma_peak(v)) / 1e9);
    let both: Vec<f64> = std::thread::scope(|s| {
        let h: Vec<_> = (0..2).map(|_| s.spawn(|| best(&|| probe::fma_peak(v)))).collect();
        h.into_iter().map(|h| h.join().unwrap()).collect()
    });
    println!("both {:?}", both);
    for kb in [16, 32, 64, 128, 256, 512, 1024, 1536, 2048, 3072, 4096, 8192, 16384, 32768, 131072] {
        println!("{kb} KiB {:.1} GB/s", best(&|| probe::read_bandwidth(v, kb << 10)) / 1e9);
    }
}
