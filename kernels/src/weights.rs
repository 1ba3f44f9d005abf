//! Unpacked weights of one direction.

use crate::Error;

/// Gates of an LSTM.
pub const GATES: usize = 4;

/// The order of an LSTM's gates in its weight tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateOrder {
    /// Input, output, forget, cell: ONNX.
    Iofc,
    /// Input, forget, cell, output: PyTorch, Keras and cuDNN.
    Ifco,
}

impl GateOrder {
    /// Where the gates input, output, forget and cell stand.
    fn positions(self) -> [usize; GATES] {
        match self {
            GateOrder::Iofc => [0, 1, 2, 3],
            GateOrder::Ifco => [0, 3, 1, 2],
        }
    }
}

/// The weights of one direction of an LSTM layer, checked: sizes agree and every element is finite.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    input: usize,
    hidden: usize,
    positions: [usize; GATES],
    w: &'a [f32],
    r: &'a [f32],
    wb: Option<&'a [f32]>,
    rb: Option<&'a [f32]>,
}

impl<'a> Weights<'a> {
    /// `w` is `[4·H, I]`, `r` is `[4·H, H]`, `wb` and `rb` (the two bias vectors, which are summed) are `[4·H]`.
    ///
    /// # Errors
    /// [`Error::Zero`] for H = 0, [`Error::Overflow`] and [`Error::Length`] where sizes disagree,
    /// [`Error::NotFinite`] for a NaN or an infinity.
    pub fn new(
        [input, hidden]: [usize; 2],
        order: GateOrder,
        w: &'a [f32],
        r: &'a [f32],
        [wb, rb]: [Option<&'a [f32]>; 2],
    ) -> Result<Weights<'a>, Error> {
        if hidden == 0 {
            return Err(Error::Zero { what: "hidden_size" });
        }
        let rows = hidden.checked_mul(GATES).ok_or(Error::Overflow { what: "4 * hidden_size" })?;
        check("W", w, rows.checked_mul(input))?;
        check("R", r, rows.checked_mul(hidden))?;
        wb.map_or(Ok(()), |b| check("Wb", b, Some(rows)))?;
        rb.map_or(Ok(()), |b| check("Rb", b, Some(rows)))?;
        Ok(Weights { input, hidden, positions: order.positions(), w, r, wb, rb })
    }

    /// Input size I.
    pub fn input(&self) -> usize {
        self.input
    }

    /// Hidden size H.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Row of W, `[I]`. Gates are numbered 0 input, 1 output, 2 forget, 3 cell, whatever the source's order.
    ///
    /// # Panics
    /// Where `gate` or `unit` is out of range.
    pub fn w_row(&self, gate: usize, unit: usize) -> &'a [f32] {
        &self.w[self.row(gate, unit) * self.input..][..self.input]
    }

    /// Row of R, `[H]`.
    ///
    /// # Panics
    /// Where `gate` or `unit` is out of range.
    pub fn r_row(&self, gate: usize, unit: usize) -> &'a [f32] {
        &self.r[self.row(gate, unit) * self.hidden..][..self.hidden]
    }

    /// The two biases, where there are any; an absent one is 0.
    ///
    /// # Panics
    /// Where `gate` or `unit` is out of range.
    pub fn bias(&self, gate: usize, unit: usize) -> Option<(f32, f32)> {
        let row = self.row(gate, unit);
        let at = |b: Option<&[f32]>| b.map(|b| b[row]);
        match (at(self.wb), at(self.rb)) {
            (None, None) => None,
            (wb, rb) => Some((wb.unwrap_or(0.0), rb.unwrap_or(0.0))),
        }
    }

    fn row(&self, gate: usize, unit: usize) -> usize {
        assert!(unit < self.hidden, "unit out of range");
        self.positions[gate] * self.hidden + unit
    }
}

fn check(what: &'static str, data: &[f32], expected: Option<usize>) -> Result<(), Error> {
    let expected = expected.ok_or(Error::Overflow { what })?;
    if data.len() != expected {
        return Err(Error::Length { what, expected, got: data.len() });
    }
    match data.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(Error::NotFinite { what, index }),
        None => Ok(()),
    }
}
