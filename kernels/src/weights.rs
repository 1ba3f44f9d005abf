//! Unpacked weights of one direction.

use crate::cell::Cell;
use crate::element::Element;
use crate::environment;
use crate::error::Error;
use crate::integers::{Scale, Scales, check_terms};
use crate::sizes::Sizes;
use crate::subnormals::Subnormals;
use crate::weight_type::WeightType;

/// The order of the gates in the weight tensors of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GateOrder {
    /// LSTM: input, output, forget, cell. GRU: update, reset, hidden (Keras' order too).
    Onnx,
    /// LSTM: input, forget, cell, output (Keras' and cuDNN's order too). GRU: reset, update, hidden (cuDNN's order
    /// too).
    PyTorch,
}

impl GateOrder {
    /// The position of each gate in the tensors. The result lists the gates in ONNX's order.
    fn positions(self, cell: &Cell) -> [usize; 4] {
        match (self, cell) {
            (GateOrder::Onnx, _) | (_, Cell::Rnn(_)) => [0, 1, 2, 3],
            (GateOrder::PyTorch, Cell::Lstm(_)) => [0, 3, 1, 2],
            (GateOrder::PyTorch, Cell::Gru(_)) => [1, 0, 2, 3],
        }
    }
}

/// The weight tensors of one direction. G is the cell's number of gates.
#[derive(Clone, Copy, Debug)]
pub struct Tensors<'a, F = f32> {
    /// `[G·H, I]`
    pub w: &'a [F],
    /// `[G·H, H]`
    pub r: &'a [F],
    /// `[G·H]`; zeros if absent.
    pub wb: Option<&'a [F]>,
    /// `[G·H]`; zeros if absent.
    pub rb: Option<&'a [F]>,
    /// Peepholes of the gates input, output and forget, always in this order, `[3·H]`. Only an LSTM has them.
    pub p: Option<&'a [F]>,
}

/// The checked weights of one direction of a layer: the sizes agree and every element is finite.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a, F = f32> {
    cell: Cell,
    sizes: Sizes,
    positions: [usize; 4],
    subnormals: Subnormals,
    weight_type: WeightType,
    scales: Option<Scales<'a>>,
    tensors: Tensors<'a, F>,
}

impl<'a, F: Element> Weights<'a, F> {
    /// Checks the tensors of a cell with I inputs and H hidden units.
    ///
    /// # Errors
    /// * [`Error::Zero`] if H = 0.
    /// * [`Error::Option`] if an option of the cell is not a usable number.
    /// * [`Error::Overflow`] if a size overflows.
    /// * [`Error::Length`] if a tensor has the wrong number of elements. P of a cell without peepholes must be empty.
    /// * [`Error::NotFinite`] if a tensor contains a NaN or an infinity.
    pub fn new(
        cell: Cell,
        [input, hidden]: [usize; 2],
        order: GateOrder,
        tensors: Tensors<'a, F>,
    ) -> Result<Weights<'a, F>, Error> {
        if hidden == 0 {
            return Err(Error::Zero { what: "hidden_size" });
        }
        cell.validate()?;
        let sizes = Sizes::new(input, hidden);
        let rows = hidden.checked_mul(cell.gates()).ok_or(Error::Overflow { what: "gates * hidden_size" })?;
        let peepholes = if cell.has_cell_state() { hidden.checked_mul(3) } else { Some(0) };
        expect_tensor("W", tensors.w, rows.checked_mul(sizes.input))?;
        expect_tensor("R", tensors.r, rows.checked_mul(sizes.recurrent))?;
        for (what, data, expected) in
            [("Wb", tensors.wb, Some(rows)), ("Rb", tensors.rb, Some(rows)), ("P", tensors.p, peepholes)]
        {
            data.map_or(Ok(()), |data| expect_tensor(what, data, expected))?;
        }
        let positions = order.positions(&cell);
        let (subnormals, weight_type) = (Subnormals::Keep, WeightType::F32);
        Ok(Weights { cell, sizes, positions, subnormals, weight_type, scales: None, tensors })
    }

    /// Sets what the layer does with subnormal numbers. The default keeps them.
    ///
    /// # Errors
    /// [`Error::NoMultiple`] if a weight with a given scale becomes zero, and zero has no integer of 8 bits.
    /// [`Error::CannotFlush`] if this machine cannot flush them in a call; [`Error::Option`] if it shall, and an option of
    /// the cell is subnormal.
    pub fn with_subnormals(self, subnormals: Subnormals) -> Result<Weights<'a, F>, Error> {
        check_subnormals(subnormals, &self.cell)?;
        let weights = Weights { subnormals, ..self };
        // A weight that becomes zero needs an integer too.
        self.scales.map_or(Ok(weights), |scales| weights.with_scales(scales))
    }

    /// What the layer does with subnormal numbers.
    pub fn subnormals(&self) -> Subnormals {
        self.subnormals
    }

    /// Sets the type in which W and R are stored. The default is f32. Weights of this type stay as they are, also those with
    /// given scales.
    ///
    /// [`WeightType::I8`] gives each row of a gate a scale, with which its largest weight becomes ±127. Rows of x and h become
    /// integers from 0 to 255, each with the scale and the zero point of its own range, widened to hold 0. So an answer depends
    /// on nothing but its own sequence. A row with NaN or an infinity makes all gates NaN; so does a row whose
    /// scale, multiplied with that of the weights, is beyond the largest f32.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if an element of W or R does not fit into the type. No f64 fits into a type but f32.
    /// [`Error::Terms`] if an i32 may not hold the sums of so many products of int8.
    pub fn with_type(self, weight_type: WeightType) -> Result<Weights<'a, F>, Error> {
        if weight_type == self.weight_type {
            return Ok(self); // given scales stay
        }
        for (what, data) in [("W", self.tensors.w), ("R", self.tensors.r)] {
            if let Some(index) = data.iter().position(|weight| weight.narrowed(weight_type).is_none()) {
                return Err(Error::OutOfRange { what, index, weights: weight_type.name() });
            }
        }
        if weight_type == WeightType::I8 {
            check_terms("W", self.sizes.input, None)?;
            check_terms("R", self.sizes.recurrent, None)?;
        }
        Ok(Weights { weight_type, scales: None, ..self })
    }

    /// Stores W and R as int8, with given scales. Every element must be exactly the product of its row's scale and an integer,
    /// so nothing is lost. These are the weights of a model that was quantized before.
    ///
    /// # Errors
    /// [`Error::Length`] and [`Error::NotFinite`] for the scales; [`Error::NoMultiple`] if an element is not such a product, or
    /// its integer is not an i8; [`Error::Terms`] if an i32 may not hold the sums.
    pub fn with_scales(self, scales: Scales<'a>) -> Result<Weights<'a, F>, Error> {
        let Sizes { input, recurrent, hidden, .. } = self.sizes;
        check_terms("W", input, Some(scales.w_zero_point))?;
        check_terms("R", recurrent, Some(scales.r_zero_point))?;
        let rows = self.cell.gates() * hidden;
        expect_tensor("the scales of W", scales.w, Some(rows))?;
        expect_tensor("the scales of R", scales.r, Some(rows))?;
        let weights = Weights { weight_type: WeightType::I8, scales: Some(scales), ..self };
        let parts = [
            ("W", self.tensors.w, input, scales.w, scales.w_zero_point),
            ("R", self.tensors.r, recurrent, scales.r, scales.r_zero_point),
        ];
        for (what, data, columns, scales, zero_point) in parts {
            let holds = |(index, &weight): (usize, &F)| {
                let scale = Scale { scale: scales[index / columns], zero_point };
                let (weight, rounded) = (weights.taken(weight), weights.taken(weight).to_f32());
                F::of_f32(rounded) == weight && scale.holds(rounded)
            };
            // Quotients are rounded, as they are when the weights are packed.
            let first = || data.iter().enumerate().position(|element| !holds(element));
            if let Some(index) = environment::within(Subnormals::Keep, first) {
                return Err(Error::NoMultiple { what, index });
            }
        }
        Ok(weights)
    }

    /// The type in which W and R are stored.
    pub fn weight_type(&self) -> WeightType {
        self.weight_type
    }

    /// The number of weights, of all tensors, that are subnormal.
    pub fn subnormal_weights(&self) -> usize {
        let Tensors { w, r, wb, rb, p } = self.tensors;
        let all = [Some(w), Some(r), wb, rb, p];
        all.into_iter().flatten().flatten().filter(|weight| weight.is_subnormal()).count()
    }

    /// A row of W as the layer stores it, `[I]`: rounded to the type of the weights, and without subnormal elements if the
    /// layer flushes these.
    ///
    /// # Panics
    /// If `gate` or `unit` is out of range.
    pub fn stored_w(&self, gate: usize, unit: usize) -> impl Iterator<Item = F> {
        self.stored(self.w_row(gate, unit), Weights::w_scale, [gate, unit])
    }

    /// A row of R as the layer stores it, `[P]`, like that of W.
    ///
    /// # Panics
    /// If `gate` or `unit` is out of range.
    pub fn stored_r(&self, gate: usize, unit: usize) -> impl Iterator<Item = F> {
        self.stored(self.r_row(gate, unit), Weights::r_scale, [gate, unit])
    }

    fn stored(
        &self,
        row: &'a [F],
        scale: fn(&Self, usize, usize) -> Scale,
        [gate, unit]: [usize; 2],
    ) -> impl Iterator<Item = F> {
        let scale = (self.weight_type == WeightType::I8).then(|| scale(self, gate, unit));
        let stored = move |weight: F| match scale {
            Some(scale) => F::of_f32(scale.weight(scale.integer(weight.to_f32()))),
            // `with_type` has checked that every element fits.
            None => weight.narrowed(self.weight_type).unwrap_or(weight),
        };
        // Rounded as it is when the weights are packed.
        row.iter().map(move |&weight| environment::within(Subnormals::Keep, || stored(self.taken(weight))))
    }

    /// The scale of a row of W, for [`WeightType::I8`].
    ///
    /// # Panics
    /// If `gate` or `unit` is out of range.
    pub fn w_scale(&self, gate: usize, unit: usize) -> Scale {
        let given = self.scales.map(|scales| (scales.w, scales.w_zero_point));
        self.scale(given, self.w_row(gate, unit), self.row(gate, unit))
    }

    /// The scale of a row of R, for [`WeightType::I8`].
    ///
    /// # Panics
    /// If `gate` or `unit` is out of range.
    pub fn r_scale(&self, gate: usize, unit: usize) -> Scale {
        let given = self.scales.map(|scales| (scales.r, scales.r_zero_point));
        self.scale(given, self.r_row(gate, unit), self.row(gate, unit))
    }

    fn scale(&self, given: Option<(&[f32], i32)>, weights: &[F], row: usize) -> Scale {
        match given {
            Some((scales, zero_point)) => Scale { scale: scales[row], zero_point },
            None => environment::within(Subnormals::Keep, || {
                Scale::of_row(weights.iter().map(|&weight| self.taken(weight).to_f32()))
            }),
        }
    }

    /// The zero points of W and R; 0 if they have none.
    pub(crate) fn zero_points(&self) -> [i32; 2] {
        self.scales.map_or([0, 0], |scales| [scales.w_zero_point, scales.r_zero_point])
    }

    /// A bias or a peephole as the layer takes it: zero in place of a subnormal one, if the layer flushes these.
    pub fn taken(&self, weight: F) -> F {
        if self.subnormals.flushes_weights() { weight.flushed() } else { weight }
    }

    /// The cell, which defines what a step computes.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// The sizes I, H and P.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Input size I.
    pub fn input(&self) -> usize {
        self.sizes.input
    }

    /// Hidden size H.
    pub fn hidden(&self) -> usize {
        self.sizes.hidden
    }

    /// A row of W, `[I]`, as given. Gates are numbered in ONNX's order, whatever the order of the tensors is.
    ///
    /// # Panics
    /// If `gate` or `unit` is out of range.
    pub fn w_row(&self, gate: usize, unit: usize) -> &'a [F] {
        &self.tensors.w[self.row(gate, unit) * self.sizes.input..][..self.sizes.input]
    }

    /// A row of R, `[P]`, as given; P = H.
    ///
    /// # Panics
    /// If `gate` or `unit` is out of range.
    pub fn r_row(&self, gate: usize, unit: usize) -> &'a [F] {
        &self.tensors.r[self.row(gate, unit) * self.sizes.recurrent..][..self.sizes.recurrent]
    }

    /// The bias of W as the layer takes it, or 0 if there is none.
    ///
    /// # Panics
    /// If `gate` or `unit` is out of range.
    pub fn wb(&self, gate: usize, unit: usize) -> F {
        let row = self.row(gate, unit);
        self.tensors.wb.map_or(F::default(), |b| self.taken(b[row]))
    }

    /// The bias of R as the layer takes it, or 0 if there is none.
    ///
    /// # Panics
    /// If `gate` or `unit` is out of range.
    pub fn rb(&self, gate: usize, unit: usize) -> F {
        let row = self.row(gate, unit);
        self.tensors.rb.map_or(F::default(), |b| self.taken(b[row]))
    }

    /// The peepholes of a unit of an LSTM as the layer takes them, for the gates input, output and forget. `None` if there are no peepholes.
    ///
    /// # Panics
    /// If `unit` is out of range.
    pub fn peepholes(&self, unit: usize) -> Option<[F; 3]> {
        assert!(unit < self.sizes.hidden, "unit out of range");
        self.tensors
            .p
            .filter(|p| !p.is_empty())
            .map(|p| [0, 1, 2].map(|gate| self.taken(p[gate * self.sizes.hidden + unit])))
    }

    fn row(&self, gate: usize, unit: usize) -> usize {
        assert!(gate < self.cell.gates() && unit < self.sizes.hidden, "gate or unit out of range");
        self.positions[gate] * self.sizes.hidden + unit
    }
}

/// Refuses a choice that this machine, or this cell, cannot keep.
pub(crate) fn check_subnormals(subnormals: Subnormals, cell: &Cell) -> Result<(), Error> {
    if !subnormals.is_available() {
        return Err(Error::CannotFlush);
    }
    let option = cell.options().find(|(_, value)| subnormals == Subnormals::Flush && value.is_subnormal());
    option.map_or(Ok(()), |(what, value)| Err(Error::Option { what, value }))
}

/// Checks that a tensor has the expected number of elements and that all are finite.
fn expect_tensor<F: Element>(what: &'static str, data: &[F], expected: Option<usize>) -> Result<(), Error> {
    let expected = expected.ok_or(Error::Overflow { what })?;
    if data.len() != expected {
        return Err(Error::Length { what, expected, got: data.len() });
    }
    match data.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(Error::NotFinite { what, index }),
        None => Ok(()),
    }
}
