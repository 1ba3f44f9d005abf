//! Prepares and runs the layer on each runtime. As much as possible is prepared before the timing starts.

use crate::layer::{Layer, Op, Sizes};
use anyhow::{Context, Result, anyhow};
use candle_core::{DType, Device};
use candle_nn::{RNN, VarBuilder, rnn};
use rnnpack::{Sequence, Threads};
use rten_tensor::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;
use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::prelude::*;

/// A runtime that computes the layer.
pub(crate) trait Side {
    /// Runs the layer over the whole input, from a zero state.
    fn call(&mut self) -> Result<()>;
    /// Y of the last call, `[T, 1, B, H]`.
    fn output(&self) -> Result<Vec<f32>>;
}

type New = fn(&Layer, usize) -> Result<Box<dyn Side>>;

/// The sides, rnnpack first, each with its constructor for a number of threads.
pub(crate) const SIDES: [(&str, New); 4] = [
    ("rnnpack", |layer, threads| Ok(Box::new(Ours::new(layer, threads)?))),
    ("tract", |layer, threads| Ok(Box::new(Tract::new(layer, threads)?))),
    ("rten", |layer, threads| Ok(Box::new(Rten::new(layer, threads)?))),
    ("candle", |layer, _| Ok(Box::new(Candle::new(layer)?))),
];

struct Ours {
    stream: rnnpack::Stream,
    threads: usize,
    x: Vec<f32>,
    y: Vec<f32>,
}

impl Ours {
    fn new(layer: &Layer, threads: usize) -> Result<Ours> {
        let Sizes { time, batch, hidden, .. } = layer.sizes;
        let stream = rnnpack::Layer::new(&layer.weights()?)?.stream(batch)?;
        Ok(Ours { stream, threads, x: layer.x.clone(), y: vec![0.0; time * batch * hidden] })
    }
}

impl Side for Ours {
    fn call(&mut self) -> Result<()> {
        self.stream.reset();
        Ok(self.stream.run(Sequence::dense(&self.x, &mut self.y).threads(Threads::AtMost(self.threads)))?)
    }

    fn output(&self) -> Result<Vec<f32>> {
        Ok(self.y.clone())
    }
}

struct Tract {
    model: Arc<TypedRunnableModel>,
    executor: Executor,
    x: TValue,
    y: Option<TValue>,
}

impl Tract {
    fn new(layer: &Layer, threads: usize) -> Result<Tract> {
        let Sizes { time, batch, input, .. } = layer.sizes;
        let model = tract_onnx::onnx().model_for_read(&mut layer.onnx().as_slice())?;
        let model = model.into_optimized()?.into_runnable()?;
        let x = Tensor::from_shape(&[time, batch, input], &layer.x)?.into_tvalue();
        let executor = if threads == 1 { Executor::SingleThread } else { Executor::multithread(threads) };
        Ok(Tract { model, executor, x, y: None })
    }
}

impl Side for Tract {
    fn call(&mut self) -> Result<()> {
        let run = || self.model.run(tvec!(self.x.clone()));
        self.y = multithread_tract_scope(self.executor.clone(), run)?.into_iter().next();
        Ok(())
    }

    fn output(&self) -> Result<Vec<f32>> {
        let y = self.y.as_ref().context("no output")?;
        Ok(y.to_plain_array_view::<f32>()?.iter().copied().collect())
    }
}

struct Rten {
    model: rten::Model,
    nodes: [rten::NodeId; 2],
    options: rten::RunOptions,
    x: rten_tensor::Tensor<f32>,
    y: Option<rten::Value>,
}

impl Rten {
    fn new(layer: &Layer, threads: usize) -> Result<Rten> {
        let Sizes { time, batch, input, .. } = layer.sizes;
        let model = rten::ModelOptions::with_all_ops().prepack_weights(true).load(layer.onnx())?;
        let nodes = [model.node_id("X")?, model.node_id("Y")?];
        let pool = Arc::new(rten::ThreadPool::with_num_threads(threads));
        let options = rten::RunOptions::default().with_thread_pool(Some(pool));
        let x = rten_tensor::Tensor::from_data(&[time, batch, input], layer.x.clone());
        Ok(Rten { model, nodes, options, x, y: None })
    }
}

impl Side for Rten {
    fn call(&mut self) -> Result<()> {
        let [x, y] = self.nodes;
        let outputs = self.model.run(vec![(x, self.x.view().into())], &[y], Some(self.options.clone()))?;
        self.y = outputs.into_iter().next();
        Ok(())
    }

    fn output(&self) -> Result<Vec<f32>> {
        let y: rten_tensor::Tensor<f32> = self.y.clone().context("no output")?.try_into()?;
        Ok(y.iter().copied().collect())
    }
}

/// The layer on candle, which takes its threads from the environment and has batch-major sequences.
struct Candle {
    sizes: Sizes,
    layer: CandleLayer,
    x: candle_core::Tensor,
    y: Option<candle_core::Tensor>,
}

enum CandleLayer {
    Lstm(rnn::LSTM),
    Gru(rnn::GRU),
}

impl Candle {
    fn new(layer: &Layer) -> Result<Candle> {
        let Sizes { time, batch, input, hidden } = layer.sizes;
        // The places of PyTorch's gates among ONNX's.
        let gates: &[usize] = if layer.op == Op::Lstm { &[0, 2, 3, 1] } else { &[1, 0, 2] };
        let rows = gates.len() * hidden;
        let reordered = |data: &[f32], columns: usize| -> Vec<f32> {
            gates.iter().flat_map(|&g| data[g * hidden * columns..][..hidden * columns].to_vec()).collect()
        };
        let tensor = |data: Vec<f32>, dims: &[usize]| candle_core::Tensor::from_vec(data, dims, &Device::Cpu);
        let weights = HashMap::from([
            ("weight_ih_l0".to_string(), tensor(reordered(&layer.w, input), &[rows, input])?),
            ("weight_hh_l0".to_string(), tensor(reordered(&layer.r, hidden), &[rows, hidden])?),
            ("bias_ih_l0".to_string(), tensor(reordered(&layer.b[..rows], 1), &[rows])?),
            ("bias_hh_l0".to_string(), tensor(reordered(&layer.b[rows..], 1), &[rows])?),
        ]);
        let vars = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
        let x = tensor(layer.x.clone(), &[time, batch, input])?.transpose(0, 1)?.contiguous()?;
        let layer = match layer.op {
            Op::Lstm => CandleLayer::Lstm(rnn::lstm(input, hidden, rnn::LSTMConfig::default(), vars)?),
            Op::Gru => CandleLayer::Gru(rnn::gru(input, hidden, rnn::GRUConfig::default(), vars)?),
        };
        let sizes = Sizes { time, batch, input, hidden };
        Ok(Candle { sizes, layer, x, y: None })
    }
}

impl Side for Candle {
    fn call(&mut self) -> Result<()> {
        self.y = Some(match &self.layer {
            CandleLayer::Lstm(layer) => layer.states_to_tensor(&layer.seq(&self.x)?)?,
            CandleLayer::Gru(layer) => layer.states_to_tensor(&layer.seq(&self.x)?)?,
        });
        Ok(())
    }

    fn output(&self) -> Result<Vec<f32>> {
        let Sizes { time, batch, hidden, .. } = self.sizes;
        let y = self.y.as_ref().ok_or_else(|| anyhow!("no output"))?;
        let y = y.reshape((batch, time, hidden))?.transpose(0, 1)?;
        Ok(y.flatten_all()?.to_vec1()?)
    }
}
