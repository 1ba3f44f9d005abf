//! Tests random models of one recurrent node on tract with our kernels against ONNX Runtime's outputs.

use rnnpack_dev::onnx::recorded::{Case, cases, relative};
use rnnpack_onnx::Tensor;
use rnnpack_tract::Error;
use rnnpack_tract::{Kernels, Loader};
use std::collections::BTreeMap;

/// The allowed difference of an output. It is relative to its largest recorded value if that is above 1.
const TOLERANCE: f64 = 1e-5;

/// The largest relative difference of any output of a case. Weights that are inputs are bound.
fn run(case: &Case, kernels: Kernels) -> Result<f64, Error> {
    let is_weight = |name: &str| matches!(name, "W" | "R" | "B" | "P");
    let mut loader = Loader::new().kernels(kernels);
    for (name, value) in case.inputs.iter().filter(|(name, _)| is_weight(name)) {
        loader = loader.bind(name, value.clone());
    }
    let feeds = case.inputs.iter().filter(|(name, _)| !is_weight(name));
    let feeds: Vec<(&str, &Tensor)> = feeds.map(|(name, value)| (name.as_str(), value)).collect();
    let results = loader.load(&case.model)?.run(&feeds)?;
    assert_eq!(results.len(), case.outputs.len());
    let mut worst = 0f64;
    for (name, value) in &results {
        let expected = &case.outputs[name];
        assert!(value.as_slice::<f32>().unwrap().iter().all(|v| v.is_finite()), "{name}: {value:?}");
        worst = worst.max(relative(value, expected).unwrap_or_else(|e| panic!("{name}: {e}")));
    }
    Ok(worst)
}

#[test]
fn random_nodes_are_as_onnx_runtime_computes_them() {
    let cases = cases("oracle/cases.npz");
    assert!(cases.len() >= 150, "only {} cases", cases.len());
    for kernels in [Kernels::Reference64, Kernels::Rnnpack] {
        let mut worst = BTreeMap::<&str, (usize, f64)>::new();
        let mut failed = Vec::new();
        for (name, case) in &cases {
            let operator = name.split(|c: char| c.is_ascii_digit()).next().unwrap();
            match run(case, kernels) {
                Ok(found) => {
                    let (count, worst) = worst.entry(operator).or_default();
                    *count += 1;
                    *worst = worst.max(found);
                    if found > TOLERANCE {
                        failed.push(format!("{name}: {found:e}"));
                    }
                }
                Err(e) => failed.push(format!("{name}: {e}")),
            }
        }
        println!("{kernels:?}: cases and largest difference {worst:?}");
        let (count, all) = (failed.len(), cases.len());
        assert!(failed.is_empty(), "{kernels:?}: {count} of {all} cases:\n{}", failed.join("\n"));
    }
}
