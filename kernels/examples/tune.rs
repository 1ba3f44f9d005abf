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
        let ms = std::time::Duration::from_millis;
        let flops = (t * b * 8 * h * (i + h)) as f64;
        let (mut times, mut eff, mut lim, mut peaks, mut bws) = (vec![], vec![], vec![], vec![], vec![]);
        let start = Instant::now();
        while start.elapsed().as_secs_f64() < 1.0 {
            let bw = probe::read_bandwidth(v, packed.panels() * v.lanes() * h * 16, ms(1));
            let peak = probe::fma_peak(v, ms(1));
            let mut run = || {
                let call = Call {
                    x: View::new(&x, dims, Layout::TimeMajor).unwrap(),
                    y: Some(ViewMut::new(&mut y, out, Layout::TimeMajor).unwrap()),
                    lens: None,
                    reverse: false,
                    h: &mut hs,
                    c: &mut cs,
                    blocking,
                };
                lstm_forward(&packed, call, &mut scratch).unwrap();
            };
            run();
            let n = (1e-3 / (flops / 100e9)).ceil().max(1.0) as usize;
            let s = Instant::now();
            for _ in 0..n {
                run();
            }
            let e = s.elapsed().as_secs_f64() / n as f64;
            let limit = t as f64 * 16.0 * (h * h) as f64 / bw + (t * b * 8 * i * h) as f64 / peak;
            times.push(e);
            eff.push(flops / e / peak * 100.);
            lim.push(limit / e * 100.);
            peaks.push(peak / 1e9);
            bws.push(bw / 1e9);
        }
        let med = |v: &mut Vec<f64>| {
            v.sort_by(f64::total_cmp);
            v[v.len() / 2]
        };
        println!(
            "{spec:>20} {v} r{} s{} med {:9.1} min {:9.1} us  eff {:5.1}% of {:.0} GF  b1-limit {:5.1}%  (bw {:.0} GB/s) n={}",
            blocking.rows,
            blocking.steps,
            med(&mut times) * 1e6,
            times[0] * 1e6,
            med(&mut eff),
            med(&mut peaks),
            med(&mut lim),
            med(&mut bws),
            times.len()
        );
    }
}
