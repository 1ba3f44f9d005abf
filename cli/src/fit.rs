//! Finds generated inputs with which a model runs.

use crate::advice::advise;
use crate::compare::finite_elements;
use crate::inputs::{Feeds, GeneratedArgs, Generator, GivenArgs};
use crate::model::{Computed, Loaded, load};
use crate::report::count;
use crate::tensors::Tensors;
use anyhow::{Error, Result, anyhow};
use rnnpack_onnx::{Error as OnnxError, ShownNames};
use rnnpack_tract::Error as ModelError;
use std::time::{Duration, Instant};

/// The most attempts, and how long they may take together. After an attempt that ran, a few more look for a better one.
const MOST: (usize, Duration, usize) = (240, Duration::from_secs(20), 12);

/// Inputs, the model that was loaded for them, and its outputs.
pub(crate) type Run = (Feeds, Loaded, Vec<Tensors>);

/// Generates the inputs that are not given, and runs the model once with them. If the model does not run, it tries
/// other sizes and shorter lengths. If it runs but an output has no finite element, it tries positive floats, then
/// other sizes.
///
/// # Errors
/// If no attempt runs, the error of the first one, with what was generated for it.
pub(crate) fn generated(
    model: &[u8],
    args: &GivenArgs,
    how: &GeneratedArgs,
    computed: Computed,
) -> Result<Run> {
    let generator = Generator::new(model, args, how)?;
    let started = Instant::now();
    let (mut tried, mut failed, mut poor) = (0, None, None);
    for mut attempt in generator.attempts()?.take(MOST.0) {
        loop {
            tried += 1;
            match run(model, generator.feeds(&attempt)?, computed) {
                Ok(run) if is_worth(&run.2) || run.0.generated.is_empty() => return Ok(run),
                Ok(run) => poor = poor.or(Some(run)),
                Err((feeds, error)) if failed.is_none() => {
                    let hopeless = feeds.generated.is_empty() || !may_not_fit(&error);
                    let error = advise(model, &feeds, error);
                    if hopeless {
                        return Err(error);
                    }
                    failed = Some(explained(&feeds, &error));
                }
                Err(_) => {}
            }
            if attempt.positive || poor.is_none() {
                break;
            }
            attempt.positive = true;
        }
        let most = if poor.is_none() { MOST.0 } else { MOST.2 };
        if tried >= most || started.elapsed() > MOST.1 {
            break;
        }
    }
    match (poor, failed) {
        (Some(run), _) => Ok(run),
        (None, Some(error)) if tried == 1 => Err(error),
        (None, Some(error)) => {
            Err(anyhow!("{error}; {} of other sizes failed too", count(tried - 1, "attempt")))
        }
        (None, None) => Err(anyhow!("there is nothing to run")),
    }
}

fn run(model: &[u8], feeds: Feeds, computed: Computed) -> Result<Run, (Feeds, Error)> {
    let loaded = match load(model, &feeds, computed) {
        Ok(loaded) => loaded,
        Err(error) => return Err((feeds, error)),
    };
    match loaded.run(&feeds, &[]) {
        Ok(outputs) => Ok((feeds, loaded, outputs)),
        Err(error) => Err((feeds, error)),
    }
}

/// Whether every output has a finite element.
fn is_worth(outputs: &[Tensors]) -> bool {
    outputs.iter().flat_map(Tensors::values).all(|tensor| finite_elements(tensor) > 0)
}

/// Whether an error may come from inputs that do not fit the model.
fn may_not_fit(error: &Error) -> bool {
    use ModelError::{Onnx, Panic, Tract};
    use OnnxError::{Input, Layer, Node, Value};
    matches!(
        error.downcast_ref(),
        Some(Onnx(Input { .. } | Value { .. } | Node { .. } | Layer { .. }) | Panic { .. } | Tract { .. })
    )
}

fn explained(feeds: &Feeds, error: &Error) -> Error {
    let generated = ShownNames(&feeds.generated);
    let advice =
        "if generated inputs do not fit the model, give --input, --bind or --dim; the generated ones are";
    anyhow!("{error}; {advice} {generated}")
}
