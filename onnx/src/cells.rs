//! Turns the attributes that say what a step of a recurrent node computes into cells.

use crate::attribute::{Attributes, BadAttribute, bad};
use crate::brief::{List, Name};
use crate::operator::RecurrentOp;
use rnnpack::{Activation, Cell, GruCell, LstmCell, RnnCell};
use std::slice;

/// The attributes of a recurrent operator that say what a step computes. By default all are absent; then the defaults
/// of the standard apply.
#[derive(Debug, Clone, Copy, Default)]
pub struct CellAttributes<'a> {
    /// The names of the activation functions: those of the first direction's gates, then those of the second
    /// direction's. Upper and lower case are equal.
    pub activations: Option<&'a [&'a str]>,
    /// The first parameters (alpha), one for each function that has one, in the order of the functions. If there are
    /// too few, the remaining functions keep their defaults.
    pub activation_alpha: &'a [f32],
    /// The second parameters (beta), in the same way.
    pub activation_beta: &'a [f32],
    /// The arguments of activations are clipped to the range ± this.
    pub clip: Option<f32>,
    /// Whether the input and forget gates of an LSTM are coupled.
    pub input_forget: bool,
    /// Whether the reset gate of a GRU is applied after the product with `R`.
    pub linear_before_reset: bool,
}

impl CellAttributes<'_> {
    /// The cells, one for each of `directions` directions.
    ///
    /// # Errors
    /// [`BadAttribute`] if the number of functions is wrong, a function is unknown, a parameter is missing, left over
    /// or not finite, a clip threshold is not positive and finite, or `op` does not have an attribute that is set.
    pub fn cells(&self, op: RecurrentOp, directions: usize) -> Result<Vec<Cell>, BadAttribute> {
        let functions = self.functions(op, directions)?;
        let Self { input_forget, linear_before_reset, .. } = *self;
        let clip = self.clip()?;
        for (attribute, set, of) in [
            ("input_forget", input_forget, RecurrentOp::Lstm),
            ("linear_before_reset", linear_before_reset, RecurrentOp::Gru),
        ] {
            if set && op.standard() != of {
                return bad(attribute, format!("not an attribute of {op}"));
            }
        }
        Ok(match op {
            RecurrentOp::Lstm | RecurrentOp::DynamicQuantizeLstm => {
                let cell = |&activations: &_| Cell::Lstm(LstmCell { activations, clip, input_forget });
                functions.as_chunks::<3>().0.iter().map(cell).collect()
            }
            RecurrentOp::Gru => {
                let cell = |&activations: &_| Cell::Gru(GruCell { activations, clip, linear_before_reset });
                functions.as_chunks::<2>().0.iter().map(cell).collect()
            }
            RecurrentOp::Rnn => {
                functions.iter().map(|&activation| Cell::Rnn(RnnCell { activation, clip })).collect()
            }
        })
    }

    /// The activation functions of all directions, with their parameters, in the order of the attribute `activations`.
    fn functions(&self, op: RecurrentOp, directions: usize) -> Result<Vec<Activation>, BadAttribute> {
        let default = op.activations();
        let expected = default.len().saturating_mul(directions);
        let names = match self.activations {
            Some(given) if is_default_of_rnn(op, given) => default.repeat(directions),
            Some(given) if given.len() != expected => {
                return bad("activations", format!("{} are {}, not {expected}", List(given), given.len()));
            }
            Some(given) => given.to_vec(),
            None => default.repeat(directions),
        };
        let mut alphas = Parameters::new("activation_alpha", self.activation_alpha)?;
        let mut betas = Parameters::new("activation_beta", self.activation_beta)?;
        let mut functions = Vec::with_capacity(names.len());
        for name in names {
            let Some(function) = Activation::by_name(name) else {
                return bad("activations", format!("{} is no activation function", Name(name)));
            };
            let (alpha, beta) = function.parameters();
            let given = (alphas.next(alpha), betas.next(beta));
            if matches!(function, Activation::ScaledTanh { .. }) && (given.0.is_none() || given.1.is_none()) {
                let attribute = if given.0.is_none() { "activation_alpha" } else { "activation_beta" };
                return bad(attribute, format!("`{name}` needs a value: the standard has no default for it"));
            }
            functions.push(function.with_parameters(given.0, given.1));
        }
        alphas.end()?;
        betas.end()?;
        Ok(functions)
    }

    fn clip(&self) -> Result<Option<f32>, BadAttribute> {
        match self.clip {
            Some(clip) if !(clip > 0.0 && clip.is_finite()) => {
                bad("clip", format!("{clip} is no threshold: it must be positive and finite"))
            }
            clip => Ok(clip),
        }
    }
}

/// Reads the cells of a node, one for each of `directions` directions.
pub(crate) fn read(
    op: RecurrentOp,
    directions: usize,
    attributes: &Attributes<'_>,
) -> Result<Vec<Cell>, BadAttribute> {
    let activations = attributes.texts("activations")?;
    let cell = CellAttributes {
        activations: activations.as_deref(),
        activation_alpha: attributes.floats("activation_alpha")?.unwrap_or_default(),
        activation_beta: attributes.floats("activation_beta")?.unwrap_or_default(),
        clip: attributes.float("clip")?,
        input_forget: attributes.flag("input_forget")?,
        linear_before_reset: attributes.flag("linear_before_reset")?,
    };
    cell.cells(op, directions)
}

/// Whether `given` is the default of the attribute of `RNN`. It has two functions for every direction.
fn is_default_of_rnn(op: RecurrentOp, given: &[&str]) -> bool {
    op == RecurrentOp::Rnn && given.len() == 2 && given.iter().all(|name| name.eq_ignore_ascii_case("Tanh"))
}

/// The values of `activation_alpha` or `activation_beta`. Each goes to the next function that has such a parameter. If
/// no value is left, a function keeps its default.
struct Parameters<'n> {
    attribute: &'static str,
    left: slice::Iter<'n, f32>,
}

impl<'n> Parameters<'n> {
    fn new(attribute: &'static str, values: &'n [f32]) -> Result<Self, BadAttribute> {
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => bad(attribute, format!("{value} is no finite number")),
            None => Ok(Self { attribute, left: values.iter() }),
        }
    }

    /// The next value for a function. `default` is the default of the function's parameter, `None` if it has no
    /// parameter.
    fn next(&mut self, default: Option<f32>) -> Option<f32> {
        default.and_then(|_| self.left.next().copied())
    }

    /// Refuses values that are left over.
    fn end(self) -> Result<(), BadAttribute> {
        match self.left.as_slice() {
            [] => Ok(()),
            left => bad(self.attribute, format!("{} is left over: no function takes it", List(left))),
        }
    }
}
