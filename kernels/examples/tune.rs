#![allow(missing_docs)]
use rnnpack_kernels::blocking::*;
use rnnpack_kernels::*;
use std::time::Instant;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let v = Variant::by_name(&args[1]).unwrap();
    let caches = Caches { l1d: 48 << 10, l2: 2 << 20, l3: 0 };
    for spec in &args[2..] {
        let p: Vec<usize> = spec.split(',').map(|s| s.parse().unwrap()).collect();
        let (t, b, i, h) = (p[0], p[1], p[2], p[3]);
        let w: Vec<f32> = (0..4 * h * i).map(|k| ((k * 7919) % 1013) as f32 / 5000.0 - 0.1).collect();
        let r: Vec<f32> = (0..4 * h * h).map(|k| ((k * 7907) % 1013) as f32 / 5000.0 - 0.1).collect();
        let weights = Weights::new([i, h], GateOrder::Iofc, &w, &r, [None, None]).unwrap();
        let packed = Packed::new(v, &weights).unwrap();
        let mut blocking = Blocking::new(v, caches, [h, t, b]);
        if p.len() > 4 {
            if p[4] > 0 {
                blocking.rows = p[4];
            }
            if p[5] > 0 {
                blocking.steps = p[5];
            }
            if false {}
        }
        let x: Vec<f32> = (0..t * b * i).map(|k| ((k * 31) % 97) as f32 / 50.0 - 1.0).collect();
        let mut y = vec![0.0; t * b * h];
        let (mut hs, mut cs) = (vec![0.0; b * h], vec![0.0; b * h]);
        let mut scratch = Scratch::new();
        let dims = Dims { time: t, directions: 1, batch: b, width: i };
        let out = Dims { width: h, ..dims };
        let mut best = f64::MAX;
        let mut times = vec![];
        let mut peak = 0f64;
        let mut bw = 0f64;
        let start = Instant::now();
        let mut n = 0;
        while start.elapsed().as_secs_f64() < 1.0 {
            if n % 8 == 0 {
                peak = peak.max(probe::fma_peak(v));
                bw = bw.max(probe::read_bandwidth(v, packed.panels() * v.lanes() * h * 16));
            }
            n += 1;
            let call = Call {
                x: View::new(&x, dims, Layout::TimeMajor).unwrap(),
                y: Some(ViewMut::new(&mut y, out, Layout::TimeMajor).unwrap()),
                lens: None,
                reverse: false,
                h: &mut hs,
                c: &mut cs,
                blocking,
            };
            let s = Instant::now();
            lstm_forward(&packed, call, &mut scratch).unwrap();
            let e = s.elapsed().as_secs_f64();
            best = best.min(e);
            times.push(e);
        }
        times.sort_by(f64::total_cmp);
        let flops = (t * b * 8 * h * (i + h)) as f64;
        let limit = t as f64 * 16.0 * (h * h) as f64 / bw + (t * b * 8 * i * h) as f64 / peak;
        println!(
            "{spec:>20} {v} {blocking:?} min {:9.1} med {:9.1} us  {:5.1}% of {:.0} GF  b1-limit {:5.1}%  (bw {:.0} GB/s)",
            best * 1e6,
            times[times.len() / 2] * 1e6,
            flops / best / peak * 100.,
            peak / 1e9,
            limit / best * 100.,
            bw / 1e9
        );
    }
}
