//! The passes of a cell: the only place that maps a cell to its epilogues.
//!
//! All code that needs the passes calls [`visit`]: packing takes the shapes of the panels, the scratch takes the number
//! of state buffers, the driver takes the epilogues. All three use the same types. Memory safety depends on the
//! constants of these types.

use crate::activation::Activation;
use crate::cell::{Candidate, Cell, CoupledLstm, Gates, Gru, GruCell, Lstm, LstmCell, Rnn, RnnCell};
use crate::epilogue::{Activations, Any, Epilogue, PassShape, Standard};

/// The passes of a step, in their order.
pub(crate) trait Passes: Copy {
    /// How each pass lays out its panels.
    const SHAPES: &'static [PassShape];
    /// The number of state buffers in addition to the two of h: an LSTM's c; a GRU's z and r ⊙ h between its passes.
    /// The first pass multiplies h with R. The second pass multiplies the second of these buffers with R.
    const STATES: usize;
    /// Whether one of the epilogues may be compiled behind the tiles; see [`Epilogue::INLINE`].
    const INLINE: bool;

    /// The passes of a cell that has this type of passes.
    fn of(cell: &Cell, peepholes: bool) -> Self;

    /// Hands each pass to the visitor.
    fn each<V: PassVisitor>(self, visitor: &mut V);
}

/// A visitor of single passes.
pub(crate) trait PassVisitor {
    /// Takes pass `index` of the cell. Implementations are `#[inline(always)]`.
    fn pass<E: Epilogue>(&mut self, index: usize, epilogue: E);
}

impl<A: Epilogue + OfCell> Passes for (A,) {
    const SHAPES: &'static [PassShape] = &[A::SHAPE];
    const STATES: usize = A::STATES;
    const INLINE: bool = A::INLINE;

    #[inline(always)]
    fn of(cell: &Cell, peepholes: bool) -> Self {
        (A::of(cell, peepholes),)
    }

    #[inline(always)]
    fn each<V: PassVisitor>(self, visitor: &mut V) {
        visitor.pass(0, self.0);
    }
}

impl<A: Epilogue + OfCell, B: Epilogue + OfCell> Passes for (A, B) {
    const SHAPES: &'static [PassShape] = &[A::SHAPE, B::SHAPE];
    const STATES: usize = if A::STATES > B::STATES { A::STATES } else { B::STATES };
    const INLINE: bool = A::INLINE || B::INLINE;

    #[inline(always)]
    fn of(cell: &Cell, peepholes: bool) -> Self {
        (A::of(cell, peepholes), B::of(cell, peepholes))
    }

    #[inline(always)]
    fn each<V: PassVisitor>(self, visitor: &mut V) {
        visitor.pass(0, self.0);
        visitor.pass(1, self.1);
    }
}

/// An epilogue, or its activations, made for a cell that has this type of them.
pub(crate) trait OfCell {
    /// The value for the cell.
    fn of(cell: &Cell, peepholes: bool) -> Self;
}

impl OfCell for Standard {
    #[inline(always)]
    fn of(_: &Cell, _: bool) -> Standard {
        Standard
    }
}

impl OfCell for Any {
    #[inline(always)]
    fn of(cell: &Cell, _: bool) -> Any {
        let [gate, candidate, output] = match *cell {
            Cell::Lstm(LstmCell { activations, .. }) => activations,
            Cell::Gru(GruCell { activations: [f, g], .. }) => [f, g, g],
            Cell::Rnn(RnnCell { activation, .. }) => [activation; 3],
        };
        Any { clip: cell.clip(), gate, candidate, output }
    }
}

impl<A: Activations + OfCell> OfCell for Lstm<A> {
    #[inline(always)]
    fn of(cell: &Cell, peepholes: bool) -> Self {
        // The inlined epilogue is the one without options. So it does not contain the peepholes' code.
        Lstm { activations: A::of(cell, peepholes), peepholes: peepholes && !A::INLINE }
    }
}

/// Implements [`OfCell`] for epilogues that only wrap what another type makes.
macro_rules! wrap {
    ($($name:ident($inner:ty)),*) => { $(
        impl<A: Activations + OfCell> OfCell for $name<A> {
            #[inline(always)]
            fn of(cell: &Cell, peepholes: bool) -> Self {
                $name(<$inner>::of(cell, peepholes))
            }
        }
    )* };
}

wrap!(CoupledLstm(Lstm<A>), Gru(A), Gates(A), Candidate(A), Rnn(A));

/// A visitor of the passes of a cell.
pub(crate) trait Visitor {
    /// The visitor's result.
    type Output;
    /// Takes the type of the passes.
    fn visit<P: Passes>(self) -> Self::Output;
}

/// Hands the type of a cell's passes to the visitor. The default activations have specialized epilogues.
pub(crate) fn visit<V: Visitor>(cell: &Cell, peepholes: bool, visitor: V) -> V::Output {
    let standard = is_standard(cell) && !peepholes;
    match cell {
        Cell::Lstm(LstmCell { input_forget: true, .. }) => visitor.visit::<(CoupledLstm<Any>,)>(),
        Cell::Lstm(_) if standard => visitor.visit::<(Lstm<Standard>,)>(),
        Cell::Lstm(_) => visitor.visit::<(Lstm<Any>,)>(),
        Cell::Gru(GruCell { linear_before_reset: true, .. }) if standard => {
            visitor.visit::<(Gru<Standard>,)>()
        }
        Cell::Gru(GruCell { linear_before_reset: true, .. }) => visitor.visit::<(Gru<Any>,)>(),
        Cell::Gru(_) if standard => visitor.visit::<(Gates<Standard>, Candidate<Standard>)>(),
        Cell::Gru(_) => visitor.visit::<(Gates<Any>, Candidate<Any>)>(),
        Cell::Rnn(_) if standard => visitor.visit::<(Rnn<Standard>,)>(),
        Cell::Rnn(_) => visitor.visit::<(Rnn<Any>,)>(),
    }
}

/// Whether the activations are ONNX's defaults and nothing is clipped, so that [`Standard`] computes them.
fn is_standard(cell: &Cell) -> bool {
    use Activation::{Sigmoid, Tanh};
    let defaults: &[Activation] = match cell {
        Cell::Lstm(_) => &[Sigmoid, Tanh, Tanh],
        Cell::Gru(_) => &[Sigmoid, Tanh],
        Cell::Rnn(_) => &[Tanh],
    };
    cell.clip().is_none() && cell.activations() == defaults
}

/// The constants of the passes of a cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Constants {
    /// [`Passes::SHAPES`]
    pub(crate) shapes: &'static [PassShape],
    /// [`Passes::STATES`]
    pub(crate) states: usize,
}

impl Constants {
    /// The constants of a cell.
    pub(crate) fn of(cell: &Cell, peepholes: bool) -> Constants {
        struct Look;
        impl Visitor for Look {
            type Output = Constants;

            fn visit<P: Passes>(self) -> Constants {
                Constants { shapes: P::SHAPES, states: P::STATES }
            }
        }
        visit(cell, peepholes, Look)
    }
}

impl Cell {
    /// The gates that a step computes, with ONNX's numbers: all gates, except the forget gate if `input_forget` derives
    /// it.
    pub fn computed_gates(&self) -> impl Iterator<Item = usize> {
        Constants::of(self, false).shapes.iter().flat_map(|pass| pass.gates).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peepholes_and_activations_change_neither_panels_nor_states() {
        let cells = [Cell::lstm(), Cell::gru(false), Cell::gru(true), Cell::rnn(Activation::Tanh)];
        for cell in cells {
            let clipped = match cell {
                Cell::Lstm(cell) => Cell::Lstm(LstmCell { clip: Some(1.0), ..cell }),
                Cell::Gru(cell) => Cell::Gru(GruCell { clip: Some(1.0), ..cell }),
                Cell::Rnn(cell) => Cell::Rnn(RnnCell { clip: Some(1.0), ..cell }),
            };
            assert!(is_standard(&cell) && !is_standard(&clipped));
            let (a, b) = (Constants::of(&cell, false), Constants::of(&clipped, true));
            assert_eq!((a.shapes, a.states), (b.shapes, b.states), "{cell:?}");
        }
    }

    #[test]
    fn every_gate_is_computed_once_but_for_the_derived_forget_gate() {
        for cell in [Cell::lstm(), Cell::gru(false), Cell::gru(true), Cell::rnn(Activation::Tanh)] {
            let mut gates: Vec<usize> = cell.computed_gates().collect();
            gates.sort_unstable();
            assert!(gates.into_iter().eq(0..cell.gates()), "{cell:?}");
        }
        let coupled = Cell::Lstm(LstmCell { input_forget: true, ..LstmCell::default() });
        assert!(coupled.computed_gates().eq([0, 1, 3]));
    }
}
