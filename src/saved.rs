//! The states as they were before a call, for the case that the caller stops it.

use crate::{Error, State};
use rnnpack_kernels::Element;
use rnnpack_kernels::memory::reserve;

/// Room for a copy of states. It grows to the largest call and is then reused.
#[derive(Debug, Default)]
pub(crate) struct Saved<F = f32> {
    /// h and c of each state, one after the other.
    numbers: Vec<F>,
}

impl<F: Element> Saved<F> {
    /// Runs a call of these states. If the caller stops it, the states are as before.
    ///
    /// # Errors
    /// Those of `call`; [`Error::Kernel`] if there is no memory for the copy.
    pub(crate) fn around(
        &mut self,
        states: &mut [State<F>],
        call: impl FnOnce(&mut [State<F>]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.save(states)?;
        let result = call(states);
        if matches!(result, Err(Error::Stopped)) {
            self.restore(states);
        }
        result
    }

    fn save(&mut self, states: &[State<F>]) -> Result<(), Error> {
        let floats = states.iter().map(|state| state.h.len() + state.c.len()).sum();
        self.numbers.clear();
        let memory = rnnpack_kernels::Error::Memory { what: "a copy of the state", floats };
        reserve(&mut self.numbers, floats).ok_or(memory)?;
        for state in states {
            self.numbers.extend_from_slice(&state.h);
            self.numbers.extend_from_slice(&state.c);
        }
        Ok(())
    }

    fn restore(&self, states: &mut [State<F>]) {
        let mut rest = self.numbers.as_slice();
        for part in states.iter_mut().flat_map(|state| [&mut state.h, &mut state.c]) {
            let (saved, after) = rest.split_at(part.len());
            part.copy_from_slice(saved);
            rest = after;
        }
    }
}
