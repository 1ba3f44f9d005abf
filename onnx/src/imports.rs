//! Makes the imports of the standard operator set one import, and gives its nodes one domain.

use crate::error::Error;
use crate::proto::{Model, Node, OpsetId};

/// The other name of the standard domain, which is `""`.
const STANDARD: &str = "ai.onnx";

/// Replaces `ai.onnx` by `""` in the imports and the nodes of the model and its functions. The same import twice counts
/// as one.
///
/// # Errors
/// [`Error::Opset`] if the model imports the standard operator set in two versions.
pub(crate) fn unify(model: &mut Model) -> Result<(), Error> {
    unify_imports(&mut model.opset_import);
    let mut versions = model.opset_import.iter().filter(|o| o.domain.is_empty()).map(|o| o.version);
    if let (Some(one), Some(other)) = (versions.next(), versions.next()) {
        let reason = format!("it is imported too, and so is version {one}");
        return Err(Error::Opset { subject: "the model".into(), version: Some(other), reason });
    }
    model.graph.iter_mut().for_each(|graph| unify_nodes(&mut graph.node));
    for function in &mut model.functions {
        unify_imports(&mut function.opset_import);
        unify_nodes(&mut function.node);
        unify_domain(&mut function.domain);
    }
    Ok(())
}

fn unify_domain(domain: &mut String) {
    if domain == STANDARD {
        domain.clear();
    }
}

fn unify_imports(imports: &mut Vec<OpsetId>) {
    imports.iter_mut().for_each(|import| unify_domain(&mut import.domain));
    let mut seen = std::collections::HashSet::new();
    imports.retain(|import| seen.insert((import.domain.clone(), import.version)));
}

fn unify_nodes(nodes: &mut [Node]) {
    for node in nodes {
        unify_domain(&mut node.domain);
        node.graphs_mut().for_each(|graph| unify_nodes(&mut graph.node));
    }
}
