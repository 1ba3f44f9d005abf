//! The arguments of `bench`.

use super::layer_args::LayerArgs;
use super::layer_data::LayerShape;
use crate::inputs::{GeneratedArgs, GivenArgs};
use crate::model::thread_count;
use crate::seconds::parse_seconds;
use anyhow::{Result, bail};
use clap::ArgGroup;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
With --shape, one f32 layer of random weights, an LSTM or what --op says: rnnpack, tract's own operator \
on the same layer, and an unfused layer over matrixmultiply. With MODEL, the whole model with its recurrent \
layers on rnnpack, and on tract's own. tract is left out, with the reason, where it is known to compute \
something else.

All sides take turns call by call in one run. A turn starts with one call that is not timed and then \
times calls for about a millisecond, one at least, so that every side works from caches of its own \
making. Results are compared before anything is timed. `ratio` is a side's fastest call over rnnpack's. \
`peak` is the multiply-add throughput and `read` the read bandwidth, at a buffer as large as the packed \
R, of one thread, measured before every turn: shares relate a turn to its own probe. Flops are T*B*2*G*H*(I+H) for each \
direction, without activations, where G gates are computed: 4 of an LSTM, 3 with --input-forget, 3 of a \
GRU, 1 of an RNN; bytes are 4*G*H*H for each step and direction.

At batch 1 the limit is the time that R's bytes take at that bandwidth plus the time that the input's \
projection takes at the peak.

Examples:
  rnnpack bench --shape 100,1,256,256
  rnnpack bench --shape 50,64,256,256 --threads 2 --seconds 5
  rnnpack bench --shape 50,16,256,256 --isa avx2 --no-tract --json
  rnnpack bench --shape 100,1,256,256 --op gru --linear-before-reset
  rnnpack bench --shape 100,1,256,256 --op rnn --activation Relu
  rnnpack bench model.onnx --input x=x.npy";

/// Time a layer or a model beside tract, an unfused baseline and the machine's limits
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP, group = ArgGroup::new("what").required(true).args(["model", "shape"]))]
pub(crate) struct Args {
    /// The ONNX model to time; or use --shape
    pub(crate) model: Option<PathBuf>,
    /// Steps, batch rows, input size and hidden size of a layer, each at least 1
    #[arg(long, value_name = "T,B,I,H", value_parser = parse_shape)]
    pub(crate) shape: Option<LayerShape>,
    #[command(flatten)]
    pub(crate) layer: LayerArgs,
    /// Threads for rnnpack; above 1 its speed on one thread is timed too
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = thread_count())]
    pub(crate) threads: u16,
    /// How long to time, all sides together
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = parse_seconds)]
    pub(crate) seconds: f64,
    /// Leave tract out
    #[arg(long)]
    pub(crate) no_tract: bool,
    #[command(flatten)]
    pub(crate) given: GivenArgs,
    #[command(flatten)]
    pub(crate) generated: GeneratedArgs,
}

fn parse_shape(s: &str) -> Result<LayerShape> {
    let extent = |s: &str| s.trim().parse::<usize>().ok().filter(|&n| n > 0);
    let extents: Option<Vec<usize>> = s.split(',').map(extent).collect();
    match extents.as_deref() {
        Some(&[time, batch, input, hidden]) => Ok(LayerShape { time, batch, input, hidden }),
        _ => bail!("give four whole numbers of at least 1, such as 100,1,256,256 for T=100, B=1, I=H=256"),
    }
}
