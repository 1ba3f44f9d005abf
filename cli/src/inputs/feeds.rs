//! All inputs of a model for one run of a command.

use super::declared::{Declared, by_name, declared_inputs, find, weights};
use super::given::{GivenArgs, fitted, given};
use super::recorded::Recorded;
use crate::tensors::Tensors;
use anyhow::{Result, bail};
use rnnpack_onnx::{Shown, ShownNames};

/// All inputs of a model for one run of a command.
pub(crate) struct Feeds {
    /// The inputs that the user binds as constants at load.
    pub(crate) bound: Tensors,
    /// The inputs that are weights of recurrent nodes or have a default. They become constants.
    pub(crate) weights: Vec<String>,
    /// The inputs of one or more consecutive calls.
    pub(crate) steps: Vec<Tensors>,
    /// Descriptions of the generated inputs.
    pub(crate) generated: Vec<String>,
}

impl Feeds {
    /// The inputs of one call, all given by the user.
    pub(crate) fn given(model: &[u8], args: &GivenArgs) -> Result<Feeds> {
        let declared = declared_inputs(&rnnpack_onnx::decode(model)?)?;
        let (bound, step) = given(&declared, args)?;
        let has = |d: &Declared| d.has_default || bound.contains_key(&d.name) || step.contains_key(&d.name);
        let missing: Vec<&str> = declared.iter().filter(|d| !has(d)).map(|d| d.name.as_str()).collect();
        if let Some(name) = missing.first() {
            bail!(
                "no value for: {}; give each with --input, such as --input {}=FILE.npy",
                ShownNames(&missing),
                Shown(name)
            );
        }
        Ok(Feeds { bound, weights: weights(&declared), steps: vec![step], generated: Vec::new() })
    }

    /// The inputs of a recorded stream.
    pub(crate) fn recorded(model: &[u8], args: &GivenArgs, recorded: &Recorded) -> Result<Feeds> {
        let declared = declared_inputs(&rnnpack_onnx::decode(model)?)?;
        let (bound, given) = given(&declared, args)?;
        if let Some(name) = given.keys().next() {
            bail!(
                "--input {}: the recorded stream gives all inputs; leave it out, or use --bind",
                Shown(name)
            );
        }
        let by_name = by_name(&declared);
        let mut steps = recorded.inputs.clone();
        for step in &mut steps {
            step.retain(|name, _| !bound.contains_key(name));
            for (name, tensor) in step {
                *tensor = fitted(find(&by_name, name)?, tensor.clone())?;
            }
        }
        Ok(Feeds { bound, weights: weights(&declared), steps, generated: Vec::new() })
    }
}
