//! Runs every example as its own program, and checks its output against an independent computation.

use rnnpack::compare::within;
use rnnpack::reference;
use rnnpack::{Cell, Dims, Direction, GateOrder, LayerTensors, LayerWeights, Layout, Shape, View};
use rnnpack_dev::example::{commands, failure, run};

/// The largest error of a printed number: half of its fifth and last decimal, plus the difference of f32 from f64.
const PRINTED: f64 = 0.5e-5 + 2e-6;

/// The numbers of a line after `label`.
fn numbers(line: &str, label: &str) -> Vec<f64> {
    let values = line.trim().strip_prefix(label).unwrap_or_else(|| panic!("{line:?} is no {label:?}"));
    values.split_whitespace().map(|v| v.parse().unwrap()).collect()
}

fn assert_printed(line: &str, label: &str, expected: &[f64]) {
    let found = numbers(line, label);
    within(&found, expected, |_| PRINTED).unwrap_or_else(|e| panic!("{line}: {e}\nexpected {expected:?}"));
}

/// An LSTM of the f64 reference, with the tensors that the examples draw.
struct Lstm {
    shape: Shape,
    w: Vec<f32>,
    r: Vec<f32>,
    b: Vec<f32>,
}

impl Lstm {
    fn random(shape: Shape, mut random: impl FnMut(usize) -> Vec<f32>) -> Lstm {
        let rows = 4 * shape.output();
        Lstm { shape, w: random(rows * shape.input), r: random(rows * shape.hidden), b: random(2 * rows) }
    }

    /// Runs one row from a zero state: h of every step, directions concatenated.
    fn run(&self, x: &[f32]) -> Vec<Vec<f64>> {
        let Shape { input, hidden, direction } = self.shape;
        let tensors = LayerTensors { w: &self.w, r: &self.r, b: Some(&self.b), p: None };
        let weights = LayerWeights::new(Cell::lstm(), self.shape, GateOrder::Onnx, tensors).unwrap();
        let time = x.len() / input;
        let dims = Dims { time, directions: 1, batch: 1, width: input };
        let x = View::new(x, dims, Layout::TimeMajor).unwrap();
        let mut steps = vec![vec![]; time];
        for (d, weights) in weights.directions().iter().enumerate() {
            let (mut h, mut c) = (vec![0f64; hidden], vec![0f64; hidden]);
            let reverse = d == 1 || direction == Direction::Reverse;
            let y = reference::forward::<f32, f64>(weights, x, None, reverse, &mut h, &mut c).unwrap();
            steps.iter_mut().zip(y.chunks(hidden)).for_each(|(step, h)| step.extend(h));
        }
        steps
    }
}

fn linear(weights: &[f32], bias: &[f32], h: &[f64]) -> Vec<f64> {
    let row = |(row, &b): (&[f32], &f32)| {
        row.iter().zip(h).fold(f64::from(b), |sum, (&w, h)| sum + f64::from(w) * h)
    };
    weights.chunks(h.len()).zip(bias).map(row).collect()
}

/// Numbers in ±0.5 `scale`, as the examples draw them.
fn draw(rng: &mut fastrand::Rng, len: usize, scale: f32) -> Vec<f32> {
    (0..len).map(|_| scale * rng.f32() - scale / 2.0).collect()
}

#[test]
fn every_example_names_its_command_and_is_run_here() {
    assert_eq!(commands("cargo run --release --example"), ["bidirectional_tagger", "forecast", "quickstart"]);
}

#[test]
fn quickstart_prints_what_the_reference_computes() {
    for (args, seed) in [(&[][..], 1), (&["7"], 7)] {
        let text = run("quickstart", args);
        let mut rng = fastrand::Rng::with_seed(seed);
        let shape = Shape { input: 10, hidden: 20, direction: Direction::Forward };
        let lstm = Lstm::random(shape, |len| draw(&mut rng, len, 1.0));
        let (weights, bias) = (draw(&mut rng, 5 * 20, 1.0), draw(&mut rng, 5, 1.0));
        let steps = lstm.run(&draw(&mut rng, 10 * 10, 1.0));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3 * steps.len());
        for (t, (lines, h)) in lines.chunks(3).zip(&steps).enumerate() {
            assert_eq!(lines[0], format!("step {t}"));
            assert_printed(lines[1], "output", &linear(&weights, &bias, h));
            assert_printed(lines[2], "hidden", h);
        }
    }
    assert!(failure("quickstart", &["--help"]).contains("usage: quickstart [SEED]"));
}

/// Reads the steps of `x` and continues with its own outputs: the forecast, `[HORIZON, outputs]`.
fn forecast(lstm: &Lstm, head: &[f32], mut x: Vec<f32>) -> Vec<Vec<f64>> {
    let outputs = head.len() / lstm.shape.hidden;
    let mut forecast = Vec::new();
    for _ in 0..4 {
        let h = lstm.run(&x).pop().unwrap();
        let values = linear(head, &vec![0.0; outputs], &h);
        x.extend(values.iter().flat_map(|&v| [v as f32, 0.0]));
        forecast.push(values);
    }
    forecast
}

#[test]
fn forecasts_are_those_of_series_on_their_own_and_of_series_together() {
    let text = run("forecast", &[]);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut model = |series: usize| {
        let shape = Shape { input: 2 * series, hidden: 16, direction: Direction::Forward };
        let lstm = Lstm::random(shape, |len| draw(&mut rng, len, 1.0));
        (lstm, draw(&mut rng, series * 16, 1.0))
    };
    let ((shared, shared_head), (joint, joint_head)) = (model(1), model(3));
    let value = |s: usize, t: usize| [(t as f32 / (2 + s) as f32).sin(), 0.0];
    let lines: Vec<&str> = text.lines().collect();
    let column = |forecast: &[Vec<f64>], s: usize| forecast.iter().map(|step| step[s]).collect::<Vec<f64>>();
    assert_eq!((lines[0], lines[4]), ("batch rows", "channels"));
    let together =
        forecast(&joint, &joint_head, (0..24).flat_map(|t| (0..3).flat_map(move |s| value(s, t))).collect());
    for s in 0..3 {
        let alone = forecast(&shared, &shared_head, (0..24).flat_map(|t| value(s, t)).collect());
        assert_printed(lines[1 + s], &format!("series {s}:"), &column(&alone, 0));
        assert_printed(lines[5 + s], &format!("series {s}:"), &column(&together, s));
    }
    let claims = [
        "rows: series 1 alone gives the bits that it gives in the batch: yes",
        "rows: a change of series 0 moves its own forecast: yes",
        "rows: it leaves the others' bits as they were: yes",
        "channels: it moves the forecast of every series: yes",
        "rows: a missing value is not a zero: yes",
        "rows: what stands in its place changes no bit: yes",
        "channels: a missing value is not a zero: yes",
        "channels: what stands in its place changes no bit: yes",
    ];
    assert_eq!(lines[8..], claims);
    assert!(failure("forecast", &["x"]).contains("usage: forecast"));
}

#[test]
fn the_tagger_tags_every_sentence_as_if_it_were_alone() {
    let text = run("bidirectional_tagger", &[]);
    let mut rng = fastrand::Rng::with_seed(3);
    let shape = |input| Shape { input, hidden: 12, direction: Direction::Bidirectional };
    let layers = [8, 24].map(|input| Lstm::random(shape(input), |len| draw(&mut rng, len, 2.0)));
    let weights = draw(&mut rng, 4 * 24, 2.0);
    let tags = ["noun", "verb", "adjective", "other"];
    let mut used = [false; 4];
    let mut lines = text.lines();
    for (i, len) in [4, 7, 2].into_iter().enumerate() {
        assert_eq!(lines.next(), Some(&*format!("sentence {i} of {len} words")));
        let below = layers[0].run(&draw(&mut rng, len * 8, 2.0));
        let below: Vec<f32> = below.concat().iter().map(|&v| v as f32).collect();
        for (word, h) in layers[1].run(&below).iter().enumerate() {
            let scores = linear(&weights, &[0.0; 4], h);
            let best = (0..4).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
            used[best] = true;
            assert_printed(lines.next().unwrap(), &format!("word {word}: {}", tags[best]), &scores);
        }
    }
    assert_eq!(lines.next(), Some("every sentence alone, without padding, gives the same bits"));
    assert_eq!((lines.next(), used), (None, [true; 4]));
    assert!(failure("bidirectional_tagger", &["x"]).contains("usage: bidirectional_tagger"));
}
