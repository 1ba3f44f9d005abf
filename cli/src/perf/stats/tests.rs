//! Tests with synthetic measurements whose true ratio is known.

use super::*;

const CASES: usize = 23;
const ALPHA: f64 = 0.05;

/// Random numbers in (0, 1).
struct Noise(Random);

impl Noise {
    fn new(seed: u64) -> Noise {
        Noise(Random::new(seed.wrapping_mul(0x1234_5678_9abc_def1)))
    }

    fn uniform(&mut self) -> f64 {
        (self.0.below(1 << 30) as f64 + 0.5) / (1u64 << 30) as f64
    }

    /// Exponentially distributed with mean 1.
    fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }
}

/// Launches of eight turns. `time(noise, launch, turn)` is the factor on the work of either program in a turn.
fn launches(seed: u64, new: f64, time: impl Fn(&mut Noise, usize, usize) -> f64) -> Vec<Launch> {
    let mut noise = Noise::new(seed);
    let launch = |l: usize| -> Launch {
        let mut turn = |work: f64, t: usize| {
            let median = work * time(&mut noise, l, t);
            Turn { min: median * 0.97, median }
        };
        (0..8).map(|t| [turn(1.0, t), turn(new, t)]).collect()
    };
    (0..12).map(launch).collect()
}

/// The verdicts of 100 experiments: how many slower, faster and unknown.
fn verdicts(new: f64, time: impl Fn(&mut Noise, usize, usize) -> f64 + Copy) -> [usize; 3] {
    let mut count = [0; 3];
    for seed in 0..100 {
        let comparison = Comparison::new(&launches(seed, new, time), ALPHA, CASES).unwrap();
        count[comparison.verdict() as usize] += 1;
    }
    count
}

/// A heavy tail: one turn in ten is interrupted, for up to several times its length.
fn heavy(noise: &mut Noise, _: usize, _: usize) -> f64 {
    let interrupted = noise.uniform() < 0.1;
    1.0 + 0.01 * noise.uniform() + if interrupted { noise.exponential() } else { 0.0 }
}

/// A clock that slows down by a third over the run.
fn drifting(noise: &mut Noise, launch: usize, turn: usize) -> f64 {
    1.0 + (launch * 8 + turn) as f64 / 288.0 + 0.01 * noise.uniform()
}

/// Two modes that differ by 4%. Each turn is randomly in one of them.
fn bimodal(noise: &mut Noise, _: usize, _: usize) -> f64 {
    let slow = noise.uniform() < 0.5;
    1.0 + if slow { 0.04 } else { 0.0 } + 0.005 * noise.uniform()
}

#[test]
fn five_percent_are_found_under_heavy_tails_drift_and_two_modes() {
    for (name, time) in
        [("heavy", heavy as fn(&mut Noise, usize, usize) -> f64), ("drift", drifting), ("modes", bimodal)]
    {
        let [slower, faster, _] = verdicts(1.05, time);
        assert!(slower >= 90 && faster == 0, "{name}: {slower} of 100 found");
        let [slower, faster, _] = verdicts(1.0 / 1.05, time);
        assert!(faster >= 90 && slower == 0, "{name}: {faster} of 100 found");
    }
}

#[test]
fn equal_programs_are_not_called_slower_or_faster() {
    for (name, time) in
        [("heavy", heavy as fn(&mut Noise, usize, usize) -> f64), ("drift", drifting), ("modes", bimodal)]
    {
        let [slower, faster, unknown] = verdicts(1.0, time);
        // At an error of 0.05 / 23 for each case, 100 experiments give 0.2 false alarms on average.
        assert!(slower + faster <= 2 && unknown >= 98, "{name}: {slower} slower, {faster} faster");
    }
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    // Launches differ by a few per cent, uniformly distributed.
    let mut inside = 0;
    for seed in 0..400 {
        let mut noise = Noise::new(seed);
        let logs: Vec<f64> = (0..12).map(|_| 0.05 * (noise.uniform() - 0.5)).collect();
        let ratio = interval(&logs, 0.05).unwrap();
        inside += usize::from(ratio.low <= 1.0 && 1.0 <= ratio.high);
    }
    // 95%, ± three standard deviations of 400 trials.
    assert!((367..=393).contains(&inside), "{inside} of 400");
}

#[test]
fn the_small_errors_that_many_cases_allow_each_hold_too() {
    for n in [5, 20] {
        let mut outside = 0;
        for seed in 0..1000 {
            let mut noise = Noise::new(seed);
            // The sum of twelve uniform numbers is nearly normal.
            let logs: Vec<f64> =
                (0..n).map(|_| (0..12).map(|_| noise.uniform() - 0.5).sum::<f64>() * 0.01).collect();
            let ratio = interval(&logs, ALPHA / CASES as f64).unwrap();
            outside += usize::from(ratio.low > 1.0 || 1.0 > ratio.high);
        }
        // 2.2 are expected. The probability of more than 8 is one in a thousand.
        assert!(outside <= 8, "{outside} of 1000, {n} launches");
    }
}

#[test]
fn a_constant_ratio_is_exact_and_has_no_width() {
    let pair = |t: f64| [Turn { min: t, median: 2.0 * t }, Turn { min: 1.5 * t, median: 3.0 * t }];
    let launch: Vec<Launch> = (1..=12).map(|l| (1..=4).map(|t| pair(f64::from(l * t))).collect()).collect();
    let Comparison { min, median } = Comparison::new(&launch, ALPHA, CASES).unwrap();
    for ratio in [min, median] {
        assert!([ratio.ratio, ratio.low, ratio.high].iter().all(|x| (x - 1.5).abs() < 1e-12), "{ratio:?}");
    }
}

#[test]
fn more_cases_widen_the_interval() {
    let data = launches(1, 1.0, heavy);
    let width = |cases| {
        let Comparison { median, .. } = Comparison::new(&data, ALPHA, cases).unwrap();
        median.high / median.low
    };
    assert!(width(23) > width(5) && width(5) > width(1));
}

#[test]
fn a_significant_difference_below_one_percent_is_unknown() {
    let [slower, faster, unknown] = verdicts(1.005, |noise, _, _| 1.0 + 1e-4 * noise.uniform());
    assert_eq!([slower, faster, unknown], [0, 0, 100]);
}

#[test]
fn one_ratio_alone_decides_nothing() {
    let ratio = |low: f64| Ratio { ratio: low + 0.02, low, high: low + 0.04 };
    let comparison = |min, median| Comparison { min: ratio(min), median: ratio(median) };
    assert_eq!(comparison(1.03, 1.03).verdict(), Verdict::Slower);
    assert_eq!(comparison(1.03, 0.98).verdict(), Verdict::Unknown);
    assert_eq!(comparison(0.98, 1.03).verdict(), Verdict::Unknown);
    assert_eq!(comparison(0.90, 0.90).verdict(), Verdict::Faster);
}

#[test]
fn the_spread_of_the_base_is_its_noise() {
    let spread = |width: f64| {
        let data = launches(3, 1.0, move |noise, _, _| 1.0 + width * noise.uniform());
        own_spread(&data, ALPHA).unwrap()
    };
    assert!(spread(0.2) > 4.0 * spread(0.02) && spread(0.02) > 0.0005, "{} {}", spread(0.2), spread(0.02));
}

#[test]
fn too_few_launches_and_numbers_that_are_not_finite_give_nothing() {
    let data = launches(1, 1.0, heavy);
    assert!(Comparison::new(&data[..2], ALPHA, 1).is_none());
    let mut broken = data;
    broken[0][0][1].median = 0.0;
    broken[0].truncate(1);
    assert!(Comparison::new(&broken, ALPHA, 1).is_none());
}
