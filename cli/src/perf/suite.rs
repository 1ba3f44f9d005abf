//! The named cases of the performance suite. `record` and `compare` run only these.

use crate::bench::LayerSpec;
use crate::bench::layer_data::{LayerData, LayerShape};
use crate::fit;
use crate::inputs::{GeneratedArgs, GivenArgs};
use crate::layer_options::LayerOptions;
use crate::model::Computed;
use anyhow::{Context, Result, bail};
use rnnpack::{
    Activation, Cell, Direction, GateOrder, Layer, LayerF64, LayerTensors, LayerWeights, Network, Sequence,
    Stream, Threads, WeightType,
};
use std::path::{Path, PathBuf};

/// The folder of the suite's models, relative to the root of the repository.
const MODELS: &str = "tests/fixtures";

/// The seed of all weights and inputs.
const SEED: u64 = 1;

/// What a case runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum What {
    /// A layer with random weights.
    Layer { cell: &'static str, shape: [usize; 4], numbers: Numbers },
    /// A model file in [`MODELS`], called repeatedly as a stream.
    Model { name: &'static str, file: &'static str, dims: &'static [&'static str], sr: Option<i64> },
}

/// The type of a layer's numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Numbers {
    /// f32, with W and R in this type.
    Single(WeightType),
    /// f64.
    Double,
}

impl Numbers {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Numbers::Single(weights) => weights.name(),
            Numbers::Double => "f64",
        }
    }
}

/// One thing to time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Case {
    pub(crate) group: &'static str,
    pub(crate) what: What,
    pub(crate) threads: u16,
}

/// A case that is ready to be called.
pub(crate) struct Prepared {
    pub(crate) call: Box<dyn FnMut() -> Result<()>>,
    /// The work of a call. `None` for a model.
    pub(crate) work: Option<Work>,
}

/// The least work of a call of a layer.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    /// The flops of all products.
    pub(crate) flops: f64,
    /// The flops of the products that project the input.
    pub(crate) projection_flops: f64,
    /// The bytes of R that the steps read. Each step counts them once.
    pub(crate) r_bytes: f64,
    /// The bytes of packed R, which a step reads.
    pub(crate) r_packed: usize,
    /// The least number of bytes that a call must move: R at every step, and W, the input and the output once.
    pub(crate) bytes: f64,
}

const LSTM: &str = "lstm";
const GRU: &str = "gru";
const GRU_LINEAR: &str = "gru-linear";
const RNN: &str = "rnn";

/// All cases, in the order in which they are reported.
pub(crate) fn suite() -> Vec<Case> {
    const F32: Numbers = Numbers::Single(WeightType::F32);
    let layer = |group, cell, shape, numbers, threads| Case {
        group,
        what: What::Layer { cell, shape, numbers },
        threads,
    };
    let f32 = |group, cell, shape| layer(group, cell, shape, F32, 1);
    let model = |name, file, dims, sr| Case {
        group: "model",
        what: What::Model { name, file, dims, sr },
        threads: 1,
    };
    let mut all = vec![
        f32("step", LSTM, [1, 1, 128, 128]),
        f32("step", GRU, [1, 1, 128, 128]),
        f32("step", RNN, [1, 1, 128, 128]),
        f32("step", LSTM, [1, 1, 512, 512]),
        f32("sequence", LSTM, [300, 1, 20, 20]),
        f32("sequence", LSTM, [100, 1, 128, 128]),
        f32("sequence", LSTM, [100, 1, 256, 256]),
        f32("sequence", GRU, [100, 1, 256, 256]),
        f32("sequence", GRU_LINEAR, [100, 1, 256, 256]),
        f32("sequence", RNN, [100, 1, 256, 256]),
        f32("sequence", LSTM, [20, 1, 1024, 1024]),
        layer("sequence", LSTM, [20, 1, 128, 128], Numbers::Double, 1),
        f32("batch", LSTM, [200, 8, 40, 32]),
        f32("batch", LSTM, [10, 16, 256, 256]),
        f32("batch", GRU, [10, 16, 256, 256]),
        f32("batch", GRU_LINEAR, [10, 16, 256, 256]),
        f32("batch", RNN, [10, 16, 256, 256]),
        f32("batch", LSTM, [5, 16, 1024, 1024]),
        f32("batch", LSTM, [10, 64, 256, 256]),
        layer("batch", LSTM, [10, 64, 256, 256], F32, 2),
        layer("batch", GRU, [10, 16, 128, 128], Numbers::Double, 1),
        model(
            "silero_vad",
            "silero_vad/silero_vad_16k_op15.onnx",
            &["input=1x576", "state=2x1x128"],
            Some(16_000),
        ),
        model("gtcrn", "gtcrn/gtcrn_simple.onnx", &[], None),
    ];
    for weights in WeightType::ALL.into_iter().filter(|&weights| weights != WeightType::F32) {
        let numbers = Numbers::Single(weights);
        all.push(layer("sequence", LSTM, [100, 1, 256, 256], numbers, 1));
        all.push(layer("batch", LSTM, [10, 16, 256, 256], numbers, 1));
    }
    all
}

/// The cases whose names contain one of `wanted`. All cases if `wanted` is empty.
///
/// # Errors
/// If one of `wanted` is in no name.
pub(crate) fn selected(wanted: &[String]) -> Result<Vec<Case>> {
    let all = suite();
    if let Some(word) = wanted.iter().find(|w| !all.iter().any(|case| case.name().contains(w.as_str()))) {
        let names: Vec<String> = all.iter().map(Case::name).collect();
        bail!("--case {word}: no case has this in its name; there are\n  {}", names.join("\n  "));
    }
    let takes = |case: &Case| wanted.is_empty() || wanted.iter().any(|w| case.name().contains(w.as_str()));
    Ok(all.into_iter().filter(takes).collect())
}

impl Case {
    /// The unique name: `batch/lstm/10,64,256,256/f32/2`.
    pub(crate) fn name(&self) -> String {
        let Case { group, threads, .. } = self;
        match self.what {
            What::Layer { cell, shape: [t, b, i, h], numbers } => {
                format!("{group}/{cell}/{t},{b},{i},{h}/{}/{threads}", numbers.name())
            }
            What::Model { name, .. } => format!("{group}/{name}/{threads}"),
        }
    }

    /// The case with this name.
    ///
    /// # Errors
    /// If there is no such case.
    pub(crate) fn by_name(name: &str) -> Result<Case> {
        suite()
            .into_iter()
            .find(|case| case.name() == name)
            .with_context(|| format!("no case is named {name}"))
    }

    /// Generates weights and inputs, packs, and calls once.
    pub(crate) fn prepare(&self) -> Result<Prepared> {
        let mut prepared = match self.what {
            What::Layer { cell, shape, numbers: Numbers::Single(weights) } => {
                layer_f32(cell, shape, weights, self.threads.into())
            }
            What::Layer { cell, shape, numbers: Numbers::Double } => layer_f64(cell, shape),
            What::Model { file, dims, sr, .. } => model(file, dims, sr),
        }
        .with_context(|| format!("cannot prepare {}", self.name()))?;
        (prepared.call)()?;
        Ok(prepared)
    }
}

fn cell(name: &str) -> Cell {
    match name {
        GRU => Cell::gru(false),
        GRU_LINEAR => Cell::gru(true),
        RNN => Cell::rnn(Activation::Tanh),
        _ => Cell::lstm(),
    }
}

fn data(name: &str, [time, batch, input, hidden]: [usize; 4]) -> Result<LayerData> {
    let spec = LayerSpec { cell: cell(name), direction: Direction::Forward, peepholes: false };
    LayerData::random(LayerShape { time, batch, input, hidden }, spec, SEED)
}

impl Work {
    /// The work of a layer whose weights, and whose other numbers, have so many bytes each.
    fn new(data: &LayerData, r_packed: usize, [weight, number]: [usize; 2]) -> Work {
        let r_bytes = data.r_bytes(weight);
        let once = data.w.len() * weight + (data.x.len() + data.y_len) * number;
        Work {
            flops: data.flops(),
            projection_flops: data.projection_flops(),
            r_bytes,
            r_packed,
            bytes: r_bytes + once as f64,
        }
    }
}

fn layer_f32(cell: &str, shape: [usize; 4], weights: WeightType, threads: usize) -> Result<Prepared> {
    let data = data(cell, shape)?;
    let layer = Layer::new(&data.weights()?.with_type(weights)?)?;
    let r_packed = layer.plan().recurrent_bytes(layer.cell(), data.shape.hidden, weights);
    let work = Work::new(&data, r_packed, [weights.bytes(), size_of::<f32>()]);
    let stream = layer.stream(data.batch)?;
    Ok(Prepared { call: calls(&data, data.x.clone(), stream, Threads::AtMost(threads)), work: Some(work) })
}

fn layer_f64(cell: &str, shape: [usize; 4]) -> Result<Prepared> {
    let data = data(cell, shape)?;
    let wide = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let (w, r, b, x) = (wide(&data.w), wide(&data.r), wide(&data.b), wide(&data.x));
    let tensors = LayerTensors { w: &w, r: &r, b: Some(&b), p: None };
    let layer = LayerF64::new(&LayerWeights::new(data.cell, data.shape, GateOrder::Onnx, tensors)?)?;
    let work = Work::new(&data, r.len() * size_of::<f64>(), [size_of::<f64>(); 2]);
    Ok(Prepared { call: calls(&data, x, layer.stream(data.batch)?, Threads::Caller), work: Some(work) })
}

/// A function that calls a layer with `x`. Each call starts from a zero state.
fn calls<N: Network + 'static>(
    data: &LayerData,
    x: Vec<N::Number>,
    mut stream: Stream<N>,
    threads: Threads,
) -> Box<dyn FnMut() -> Result<()>> {
    let (time, mut y) = (data.time, vec![N::Number::default(); data.y_len]);
    Box::new(move || {
        stream.reset();
        match time {
            1 => Ok(stream.step(&x, &mut y)?),
            _ => Ok(stream.run(Sequence::dense(&x, &mut y).threads(threads))?),
        }
    })
}

/// The names of all cases.
pub fn names() -> Vec<String> {
    suite().iter().map(Case::name).collect()
}

/// The cases whose models are available. A warning names the others.
///
/// # Errors
/// If no case is left.
pub(crate) fn present(cases: Vec<Case>) -> Result<Vec<Case>> {
    let there = |case: &Case| match case.what {
        What::Layer { .. } => true,
        What::Model { file, .. } => Path::new(MODELS).join(file).is_file(),
    };
    let (present, absent): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(there);
    for case in &absent {
        eprintln!("warning: {} is left out: its model is not in {MODELS}", case.name());
    }
    if present.is_empty() {
        bail!("no case is left: the models of the suite are in a checkout of rnnpack's repository");
    }
    Ok(present)
}

fn model(file: &str, dims: &[&str], sr: Option<i64>) -> Result<Prepared> {
    let path: PathBuf = Path::new(MODELS).join(file);
    let bytes = std::fs::read(&path)
        .with_context(|| format!("cannot read {}: run from the root of the repository", path.display()))?;
    let bind = sr.iter().map(|rate| format!("sr={rate}")).collect();
    let given = GivenArgs::new(Vec::new(), bind);
    let how = GeneratedArgs { dim: dims.iter().map(|&d| d.to_owned()).collect(), seed: SEED };
    let (feeds, loaded, _) =
        fit::generated(&bytes, &given, &how, Computed::ours(1, LayerOptions::default()))?;
    let mut stream = loaded.model.stream(&[])?;
    let call = move || {
        stream.run(&loaded.inputs(&feeds.steps[0], &[]))?;
        Ok(())
    };
    Ok(Prepared { call: Box::new(call), work: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_lead_back_to_their_cases() {
        let names: BTreeSet<String> = suite().iter().map(Case::name).collect();
        assert_eq!(names.len(), suite().len());
        assert!(suite().iter().all(|case| Case::by_name(&case.name()).is_ok_and(|found| found == *case)));
        assert!(Case::by_name("batch/lstm").is_err());
    }

    #[test]
    fn the_suite_has_every_cell_and_type_and_more_than_one_thread() {
        let all = suite();
        let layers = || {
            all.iter().filter_map(|case| match case.what {
                What::Layer { cell, numbers, .. } => Some((cell, numbers)),
                What::Model { .. } => None,
            })
        };
        for name in [LSTM, GRU, GRU_LINEAR, RNN] {
            assert!(layers().any(|(cell, _)| cell == name), "{name}");
        }
        let types = WeightType::ALL.map(Numbers::Single).into_iter().chain([Numbers::Double]);
        types.for_each(|numbers| assert!(layers().any(|(_, other)| other == numbers), "{numbers:?}"));
        assert!(all.iter().any(|case| case.threads > 1));
        for group in ["step", "sequence", "batch", "model"] {
            assert!(all.iter().any(|case| case.group == group), "{group}");
        }
    }

    #[test]
    fn a_selection_that_matches_nothing_is_refused_with_the_names() {
        assert_eq!(selected(&[]).unwrap().len(), suite().len());
        assert!(selected(&["step/".into()]).unwrap().iter().all(|case| case.group == "step"));
        let error = selected(&["warp".into()]).unwrap_err().to_string();
        assert!(error.contains("warp") && error.contains("step/lstm/1,1,128,128/f32/1"), "{error}");
    }
}
