//! Lists the operators of a model that cannot run, all at once.

use crate::error::{Error, Unsupported};
use crate::loader::Loader;
use crate::{bf16, fits};
use rnnpack_onnx::{RecurrentOp, proto};
use std::collections::{BTreeMap, HashSet};

impl Loader {
    /// The operators of a model that cannot run, by domain and name. Empty if every operator is known. A node of a known
    /// operator may still be refused, for an attribute or an element type.
    ///
    /// # Errors
    /// [`Error::Onnx`] with [`rnnpack_onnx::Error::Malformed`] if the bytes are not a model.
    pub fn unsupported(&self, bytes: &[u8]) -> Result<Vec<Unsupported>, Error> {
        Ok(self.unsupported_in(&proto::decode(bytes)?))
    }

    /// [`Loader::unsupported`] of a decoded model.
    pub(crate) fn unsupported_in(&self, model: &proto::Model) -> Vec<Unsupported> {
        let known = self.operators().op_register.0;
        let mut counts = BTreeMap::new();
        if let Some(graph) = &model.graph {
            count(&graph.node, &mut counts);
        }
        let called = count_functions(model, &mut counts);
        let runs = |domain: &str, op: &str| {
            let recurrent = RecurrentOp::from_type(op).is_some();
            let standard = known.contains_key(op) && ![bf16::ROUND, fits::FITS].contains(&op);
            called.contains(op) || (standard && (domain.is_empty() || !recurrent))
        };
        let unknown = counts.into_iter().filter(|&((domain, op), _)| !runs(domain, op));
        let unsupported = |((domain, op), count): ((&str, &str), usize)| {
            let (domain, op) = (domain.to_owned(), op.to_owned());
            Unsupported { reason: reason(&domain, &op), domain, op, count }
        };
        unknown.map(unsupported).collect()
    }
}

/// Counts the nodes of a graph and of the graphs inside it by domain and operator.
fn count<'m>(nodes: &'m [proto::Node], counts: &mut BTreeMap<(&'m str, &'m str), usize>) {
    for node in nodes {
        let domain = if node.domain == "ai.onnx" { "" } else { node.domain.as_str() };
        *counts.entry((domain, node.op_type.as_str())).or_default() += 1;
        for attribute in &node.attribute {
            let inner = attribute.g.as_deref().into_iter().chain(&attribute.graphs);
            inner.for_each(|graph| count(&graph.node, counts));
        }
    }
}

/// Counts the nodes of the model-local functions that are called, also by each other. Returns their names.
fn count_functions<'m>(
    model: &'m proto::Model,
    counts: &mut BTreeMap<(&'m str, &'m str), usize>,
) -> HashSet<&'m str> {
    let mut called = HashSet::new();
    loop {
        let is_new = |f: &&'m proto::Function| {
            !called.contains(f.name.as_str()) && counts.keys().any(|&(_, op)| op == f.name)
        };
        let Some(function) = model.functions.iter().find(is_new) else { return called };
        called.insert(function.name.as_str());
        count(&function.node, counts);
    }
}

/// Why an operator that is not known cannot run, and what helps.
fn reason(domain: &str, op: &str) -> String {
    match (domain, op) {
        ("com.microsoft", "DynamicQuantizeLSTM") => {
            "an LSTM with weights in 8 bits, which ONNX Runtime's quantization makes; take the model from before \
             that step, or quantize it in the QDQ format"
        }
        ("com.microsoft" | "com.microsoft.nchwc", _) => {
            "an operator of ONNX Runtime, not of the standard; take the model from before ONNX Runtime optimized \
             or quantized it"
        }
        ("", _) => "tract does not have it; if another operator of the standard does the same, export with that",
        _ => "an operator of a domain that is not known; export the model with operators of the standard",
    }
    .to_owned()
}
