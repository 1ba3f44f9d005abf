//! Lists the operators of a model that cannot run, all at once.

use crate::error::{Error, Unsupported};
use crate::loader::Loader;
use crate::{bf16, fits};
use rnnpack_onnx::proto;
use std::collections::BTreeMap;

/// The operators of ONNX Runtime that tract has, and the one that is ours. tract looks an operator up by its name alone: all other names belong to
/// the standard, which may define another operator for them. Two of these are in the standard too: `Gelu` is the same
/// there, and tract tells the two `RotaryEmbedding` apart.
const MICROSOFT: [&str; 12] = [
    "BiasGelu",
    "DynamicQuantizeLSTM",
    "FastGelu",
    "GatherBlockQuantized",
    "Gelu",
    "GroupQueryAttention",
    "MatMulNBits",
    "MultiHeadAttention",
    "QuickGelu",
    "RotaryEmbedding",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
];
/// The operators of the standard's second set, `ai.onnx.ml`, that tract has.
const ML: [&str; 6] = [
    "ArrayFeatureExtractor",
    "CategoryMapper",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "TreeEnsembleClassifier",
];

impl Loader {
    /// The operators of a model that cannot run, by domain and name. Empty if every operator is known. A node of a known
    /// operator may still be refused, for an attribute or an element type.
    ///
    /// # Errors
    /// [`Error::Onnx`] with the errors of [`rnnpack_onnx::decode`].
    pub fn unsupported(&self, bytes: &[u8]) -> Result<Vec<Unsupported>, Error> {
        Ok(self.unsupported_in(&rnnpack_onnx::decode(bytes)?))
    }

    /// [`Loader::unsupported`] of a decoded model.
    pub(crate) fn unsupported_in(&self, model: &proto::Model) -> Vec<Unsupported> {
        let known = self.operators().op_register.0;
        let mut counts = BTreeMap::new();
        if let Some(graph) = &model.graph {
            count(&graph.node, &mut counts);
        }
        let of_domain = |domain: &str, op: &str| match domain {
            "" => ![bf16::ROUND, fits::FITS].contains(&op),
            "com.microsoft" => MICROSOFT.contains(&op),
            "ai.onnx.ml" => ML.contains(&op),
            _ => false,
        };
        let runs = |domain: &str, op: &str| of_domain(domain, op) && known.contains_key(op);
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

/// Why an operator that is not known cannot run, and what helps.
fn reason(domain: &str, op: &str) -> String {
    match (domain, op) {
        ("com.microsoft" | "com.microsoft.nchwc", _) => {
            "an operator of ONNX Runtime, not of the standard; take the model from before ONNX Runtime optimized \
             or quantized it"
        }
        ("", _) => "tract does not have it; if another operator of the standard does the same, export with that",
        _ => "an operator of a domain that is not known; export the model with operators of the standard",
    }
    .to_owned()
}
