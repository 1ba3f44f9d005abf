//! The attributes that say what a step of a recurrent node computes, read into cells.

use crate::attribute::{Attributes, BadAttribute, bad};
use crate::operator::RecurrentOp;
use rnnpack::{Activation, Cell, GruCell, LstmCell, RnnCell};
use std::slice;

/// The attributes of a recurrent operator that say what a step computes. By default all are absent, which means what the
/// standard says of each.
#[derive(Debug, Clone, Copy, Default)]
pub struct CellAttributes<'a> {
    /// The functions of each gate and, outermost, direction, by name; upper and lower case are the same.
    pub activations: Option<&'a [&'a str]>,
    /// The first parameters of the functions that have one, in their order; where there are too few, defaults follow.
    pub activation_alpha: &'a [f32],
    /// The second parameters, likewise.
    pub activation_beta: &'a [f32],
    /// Arguments of activations are clipped to ± this.
    pub clip: Option<f32>,
    /// Couples the gates of an LSTM.
    pub input_forget: bool,
    /// The reset gate of a GRU acts on a product.
    pub linear_before_reset: bool,
}

impl CellAttributes<'_> {
    /// The cell of each of `directions` directions.
    ///
    /// # Errors
    /// [`BadAttribute`] for the wrong number of functions, an unknown one, a parameter that is missing, left over or not
    /// finite, a threshold that is not positive and finite, and an attribute that `op` does not have.
    pub fn cells(&self, op: RecurrentOp, directions: usize) -> Result<Vec<Cell>, BadAttribute> {
        let functions = self.functions(op, directions)?;
        let Self { input_forget, linear_before_reset, .. } = *self;
        let clip = self.clip()?;
        for (attribute, set, of) in [
            ("input_forget", input_forget, RecurrentOp::Lstm),
            ("linear_before_reset", linear_before_reset, RecurrentOp::Gru),
        ] {
            if set && op != of {
                return bad(attribute, format!("not an attribute of {op}"));
            }
        }
        Ok(match op {
            RecurrentOp::Lstm => {
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

    /// The activation functions of all directions with their parameters, in the order of the attribute.
    fn functions(&self, op: RecurrentOp, directions: usize) -> Result<Vec<Activation>, BadAttribute> {
        let default = op.activations();
        let expected = default.len().saturating_mul(directions);
        let names = match self.activations {
            Some(given) if is_default_of_rnn(op, given) => default.repeat(directions),
            Some(given) if given.len() != expected => {
                return bad("activations", format!("{given:?} are {}, not {expected}", given.len()));
            }
            Some(given) => given.to_vec(),
            None => default.repeat(directions),
        };
        let mut alphas = Parameters::new("activation_alpha", self.activation_alpha)?;
        let mut betas = Parameters::new("activation_beta", self.activation_beta)?;
        let mut functions = Vec::with_capacity(names.len());
        for name in names {
            let Some(function) = Activation::by_name(name) else {
                return bad("activations", format!("`{name}` is no activation function"));
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

/// The cell of each of `directions` directions of a node.
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

/// Whether `given` is the attribute's default of `RNN`, which has two functions whatever the direction is.
fn is_default_of_rnn(op: RecurrentOp, given: &[&str]) -> bool {
    op == RecurrentOp::Rnn && given.len() == 2 && given.iter().all(|name| name.eq_ignore_ascii_case("Tanh"))
}

/// The values of `activation_alpha` or `activation_beta`. They are handed out in the order of the functions, each
/// to the next function that has such a parameter; a function for which none is left keeps its default.
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

    /// The next value, for a function whose parameter has the value `default` if it has one.
    fn next(&mut self, default: Option<f32>) -> Option<f32> {
        default.and_then(|_| self.left.next().copied())
    }

    /// Refuses values that no function took.
    fn end(self) -> Result<(), BadAttribute> {
        match self.left.as_slice() {
            [] => Ok(()),
            left => bad(self.attribute, format!("{left:?} is left over: no function takes it")),
        }
    }
}
