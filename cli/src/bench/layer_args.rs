//! The options that describe a layer to time.

use anyhow::{Result, bail};
use rnnpack::{Activation, Cell, Direction, GruCell, LstmCell, RnnCell, WeightType};

/// The options of `bench` for a layer of `--shape`.
#[derive(clap::Args)]
pub(crate) struct LayerArgs {
    /// The layer's operator; the default is lstm
    #[arg(long, value_enum)]
    op: Option<Op>,
    /// The layer's direction; the default is forward
    #[arg(long, value_enum)]
    direction: Option<DirectionArg>,
    /// GRU: reset the product of R and h, as PyTorch does, instead of h
    #[arg(long)]
    linear_before_reset: bool,
    /// All activations of the operator in ONNX's order, such as Sigmoid,Tanh,Relu for an LSTM
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    activation: Vec<String>,
    /// Clip the arguments of activations to ± this
    #[arg(long, value_name = "X")]
    clip: Option<f32>,
    /// LSTM: couple the forget gate to the input gate
    #[arg(long)]
    input_forget: bool,
    /// LSTM: use peepholes
    #[arg(long)]
    peepholes: bool,
    /// Instruction set for rnnpack's layer, such as avx2 or portable; for a model, set RNNPACK_ISA
    #[arg(long, value_name = "NAME")]
    pub(crate) isa: Option<String>,
    /// With --weights bf16: dot products of bf16, as --weights bf16-dot; its bits depend on the instruction set
    #[arg(long)]
    dot: bool,
}

/// A layer, without its sizes.
#[derive(Clone, Copy)]
pub(crate) struct LayerSpec {
    pub(crate) cell: Cell,
    pub(crate) direction: Direction,
    pub(crate) peepholes: bool,
}

#[derive(Clone, Copy, Default, PartialEq, clap::ValueEnum)]
enum Op {
    #[default]
    Lstm,
    Gru,
    Rnn,
}

#[derive(Clone, Copy, Default, clap::ValueEnum)]
enum DirectionArg {
    #[default]
    Forward,
    Reverse,
    Bidirectional,
}

impl LayerArgs {
    /// The first of these options that was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let all = [
            ("--op", self.op.is_some()),
            ("--direction", self.direction.is_some()),
            ("--linear-before-reset", self.linear_before_reset),
            ("--activation", !self.activation.is_empty()),
            ("--clip", self.clip.is_some()),
            ("--input-forget", self.input_forget),
            ("--peepholes", self.peepholes),
            ("--isa", self.isa.is_some()),
            ("--dot", self.dot),
        ];
        all.into_iter().find_map(|(name, given)| given.then_some(name))
    }

    /// The type of weights, of which `--weights` gives one.
    ///
    /// # Errors
    /// If --dot is given with a type that has no dot products.
    pub(crate) fn weight_type(&self, given: Option<WeightType>) -> Result<WeightType> {
        match (self.dot, given.unwrap_or_default()) {
            (false, weights) => Ok(weights),
            (true, WeightType::Bf16 | WeightType::Bf16Dot) => Ok(WeightType::Bf16Dot),
            (true, other) => bail!("--dot is for --weights bf16, not {}", other.name()),
        }
    }

    /// The layer that the options describe.
    ///
    /// # Errors
    /// As [`LayerArgs::cell`].
    pub(crate) fn spec(&self) -> Result<LayerSpec> {
        Ok(LayerSpec { cell: self.cell()?, direction: self.direction(), peepholes: self.peepholes })
    }

    fn direction(&self) -> Direction {
        match self.direction.unwrap_or_default() {
            DirectionArg::Forward => Direction::Forward,
            DirectionArg::Reverse => Direction::Reverse,
            DirectionArg::Bidirectional => Direction::Bidirectional,
        }
    }

    /// The cell that the options describe.
    ///
    /// # Errors
    /// If an option belongs to another operator, or the number of activations is not the operator's.
    fn cell(&self) -> Result<Cell> {
        let op = self.op.unwrap_or_default();
        for (name, given, of) in [
            ("--linear-before-reset", self.linear_before_reset, Op::Gru),
            ("--input-forget", self.input_forget, Op::Lstm),
            ("--peepholes", self.peepholes, Op::Lstm),
        ] {
            if given && op != of {
                let of = if of == Op::Gru { "a GRU" } else { "an LSTM" };
                bail!("{name} is for {of}: see --op");
            }
        }
        let (clip, input_forget, linear_before_reset) =
            (self.clip, self.input_forget, self.linear_before_reset);
        let cell = match op {
            Op::Lstm => {
                let activations = self.activations(LstmCell::default().activations)?;
                Cell::Lstm(LstmCell { activations, clip, input_forget })
            }
            Op::Gru => {
                let activations = self.activations(GruCell::default().activations)?;
                Cell::Gru(GruCell { activations, clip, linear_before_reset })
            }
            Op::Rnn => {
                let [activation] = self.activations([RnnCell::default().activation])?;
                Cell::Rnn(RnnCell { activation, clip })
            }
        };
        cell.validate()?;
        Ok(cell)
    }

    /// The activations from the options, with ONNX's default parameters, or `default` if none were given.
    fn activations<const N: usize>(&self, default: [Activation; N]) -> Result<[Activation; N]> {
        if self.activation.is_empty() {
            return Ok(default);
        }
        let named = |name: &String| match Activation::by_name(name) {
            Some(activation) => Ok(activation),
            None => bail!("--activation {name}: ONNX has no activation of this name"),
        };
        let all = self.activation.iter().map(named).collect::<Result<Vec<_>>>()?;
        match <[Activation; N]>::try_from(all) {
            Ok(all) => Ok(all),
            Err(all) => bail!("--activation names {}, where the operator has {N}", all.len()),
        }
    }
}
