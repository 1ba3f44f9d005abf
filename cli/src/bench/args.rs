//! The arguments of `bench`.

use super::layer_args::LayerArgs;
use super::layer_data::LayerShape;
use crate::inputs::{GeneratedArgs, GivenArgs};
use crate::layer_options::LayerOptions;
use crate::model::thread_count;
use crate::seconds::parse_seconds;
use anyhow::{Result, bail};
use clap::ArgGroup;
use rnnpack::WeightType;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
With --shape, one f32 layer with random weights is timed, an LSTM or the operator of --op: on rnnpack, on \
tract's own operator, and on an unfused layer over matrixmultiply. With MODEL, the whole model is timed: \
with its recurrent layers on rnnpack, and on tract's own. If tract is known to compute something else, it is \
left out, and the reason is shown. So it is if a model's results differ from tract's while they agree with a \
reference in f64. In half precision tract rounds more often; then it is timed, and its difference is shown. \
With --weights, rnnpack stores the weights W and R in that type, and the other sides compute with the \
rounded weights in f32. In a model they do so for bf16 and f16, if its file can say them. Else tract \
computes with the model's own weights: its difference is shown, but rnnpack's answers are only checked to be \
finite, as the report says. Inputs of a model that are not given are generated as for verify.

All sides take turns in one run. A turn starts with one call that is not timed. Then it times calls for \
about a millisecond, and at least one. So every side finds the caches as its own calls left them. Results \
are compared before anything is timed. `ratio` is a side's fastest call divided by rnnpack's. `peak` is the \
share of the multiply-add throughput of one thread, and `read` that of its read bandwidth at a buffer as \
large as the packed R. Both are measured before every round, and a turn is compared with the probe of its \
own round. Flops are T*B*2*G*H*(I+H) for each direction, without activations. G is the number of computed \
gates: 4 for an LSTM, 3 with --input-forget, 3 for a GRU, 1 for an RNN. Bytes are G*H*H times those of a weight \
(4, or fewer with --weights) for each step and direction.

At batch 1 the limit is the time to read R's bytes at that bandwidth, plus the time for the input's \
projection at the peak.

Examples:
  rnnpack bench --shape 100,1,256,256
  rnnpack bench --shape 50,64,256,256 --threads 2 --seconds 5
  rnnpack bench --shape 50,16,256,256 --isa avx2 --no-tract --json
  rnnpack bench --shape 100,1,512,512 --weights bf16
  rnnpack bench --shape 100,1,256,256 --op gru --linear-before-reset
  rnnpack bench --shape 100,1,256,256 --op rnn --activation Relu
  rnnpack bench model.onnx --input x=x.npy";

/// Time a layer or a model and compare it with tract, an unfused baseline and the machine's limits
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP, group = ArgGroup::new("what").required(true).args(["model", "shape"]))]
pub(crate) struct Args {
    /// The ONNX model to time; without it, give --shape
    pub(crate) model: Option<PathBuf>,
    /// Steps, batch rows, input size and hidden size of a layer, each at least 1
    #[arg(long, value_name = "T,B,I,H", value_parser = parse_shape)]
    pub(crate) shape: Option<LayerShape>,
    #[command(flatten)]
    pub(crate) layer: LayerArgs,
    /// Threads for rnnpack; if more than 1, its speed on one thread is timed too
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = thread_count())]
    pub(crate) threads: u16,
    /// How long to time all sides together, in seconds
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = parse_seconds)]
    pub(crate) seconds: f64,
    /// Leave tract out
    #[arg(long)]
    pub(crate) no_tract: bool,
    #[command(flatten)]
    layers: LayerOptions,
    /// With --weights bf16: round x and h to bf16 too, for dot products of bf16 (bf16-dot), outside of the promise of equal
    /// bits
    #[arg(long, requires = "weights")]
    dot: bool,
    #[command(flatten)]
    pub(crate) given: GivenArgs,
    #[command(flatten)]
    pub(crate) generated: GeneratedArgs,
}

impl Args {
    /// The options of rnnpack's layers, with the type of weights that `--dot` makes of bf16.
    ///
    /// # Errors
    /// If `--dot` is given with another type.
    pub(crate) fn layers(&self) -> Result<LayerOptions> {
        match (self.layers.weights, self.dot) {
            (_, false) => Ok(self.layers),
            (Some(WeightType::Bf16 | WeightType::Bf16Dot), true) => {
                Ok(LayerOptions { weights: Some(WeightType::Bf16Dot), ..self.layers })
            }
            (_, true) => bail!("--dot is for --weights bf16"),
        }
    }
}

fn parse_shape(s: &str) -> Result<LayerShape> {
    let extent = |s: &str| s.trim().parse::<usize>().ok().filter(|&n| n > 0);
    let extents: Option<Vec<usize>> = s.split(',').map(extent).collect();
    match extents.as_deref() {
        Some(&[time, batch, input, hidden]) => Ok(LayerShape { time, batch, input, hidden }),
        _ => bail!("give four whole numbers of at least 1, such as 100,1,256,256 for T=100, B=1, I=H=256"),
    }
}
