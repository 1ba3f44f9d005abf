//! The attributes that say what a step of a recurrent node computes, read into cells.

use super::attribute::{Attributes, BadAttribute, bad};
use super::operator::RecurrentOp;
use crate::{Activation, Cell, GruCell, LstmCell, RnnCell};
use std::slice;

/// The cell of each of `directions` directions.
pub(crate) fn read(
    op: RecurrentOp,
    directions: usize,
    attributes: &Attributes<'_>,
) -> Result<Vec<Cell>, BadAttribute> {
    let functions = functions(op, directions, attributes)?;
    let clip = clip(attributes)?;
    Ok(match op {
        RecurrentOp::Lstm => {
            let input_forget = attributes.flag("input_forget")?;
            let cell = |&activations: &_| Cell::Lstm(LstmCell { activations, clip, input_forget });
            functions.as_chunks::<3>().0.iter().map(cell).collect()
        }
        RecurrentOp::Gru => {
            let linear_before_reset = attributes.flag("linear_before_reset")?;
            let cell = |&activations: &_| Cell::Gru(GruCell { activations, clip, linear_before_reset });
            functions.as_chunks::<2>().0.iter().map(cell).collect()
        }
        RecurrentOp::Rnn => {
            functions.iter().map(|&activation| Cell::Rnn(RnnCell { activation, clip })).collect()
        }
    })
}

/// The first option of `cells` that is not the default of `op`, with its value.
pub(crate) fn not_default(op: RecurrentOp, cells: &[Cell]) -> Option<BadAttribute> {
    let found = |attribute: &str, reason: String| Some(BadAttribute { attribute: attribute.into(), reason });
    for cell in cells {
        let activations = cell.activations().iter();
        if let Some((other, _)) = activations.zip(op.activations()).find(|(a, name)| a.name() != **name) {
            return found("activations", other.to_string());
        }
        if let Some(clip) = cell.clip() {
            return found("clip", clip.to_string());
        }
        if let Cell::Lstm(LstmCell { input_forget: true, .. }) = cell {
            return found("input_forget", "1".to_string());
        }
    }
    None
}

/// The activation functions of all directions with their parameters, in the order of the attribute.
fn functions(
    op: RecurrentOp,
    directions: usize,
    attributes: &Attributes<'_>,
) -> Result<Vec<Activation>, BadAttribute> {
    let default = op.activations();
    let names = match attributes.texts("activations")? {
        Some(given) if is_default_of_rnn(op, &given) => default.repeat(directions),
        Some(given) if given.len() != default.len() * directions => {
            let expected = default.len() * directions;
            return bad("activations", format!("{given:?} are {}, not {expected}", given.len()));
        }
        Some(given) => given,
        None => default.repeat(directions),
    };
    let mut alphas = Parameters::read("activation_alpha", attributes)?;
    let mut betas = Parameters::read("activation_beta", attributes)?;
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
    fn read(attribute: &'static str, attributes: &Attributes<'n>) -> Result<Self, BadAttribute> {
        let values = attributes.floats(attribute)?.unwrap_or_default();
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

fn clip(attributes: &Attributes<'_>) -> Result<Option<f32>, BadAttribute> {
    match attributes.float("clip")? {
        Some(clip) if !(clip > 0.0 && clip.is_finite()) => {
            bad("clip", format!("{clip} is no threshold: it must be positive and finite"))
        }
        clip => Ok(clip),
    }
}
