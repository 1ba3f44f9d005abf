//! Writes a model with rewritten recurrent nodes. All other bytes are copied.

use super::edit::{Edit, QUANTIZED};
use super::unused::is_removed;
use super::wire::{Field, fields, last, put};
use crate::error::Error;
use crate::operator::RecurrentOp;
use crate::proto::{Attribute, Node, OpsetId, malformed};
use prost::Message;
use std::collections::HashSet;

/// The numbers of the fields that are read, as in `onnx.proto`.
mod number {
    pub(super) const MODEL_GRAPH: u32 = 7;
    pub(super) const MODEL_OPSET: u32 = 8;
    pub(super) const GRAPH_NODE: u32 = 1;
    pub(super) const GRAPH_STORED: u32 = 5;
    pub(super) const GRAPH_INPUT: u32 = 11;
    pub(super) const GRAPH_VALUE: u32 = 13;
    pub(super) const GRAPH_SPARSE: u32 = 15;
    pub(super) const NODE_INPUT: u32 = 1;
    pub(super) const NODE_OUTPUT: u32 = 2;
    pub(super) const NODE_OPERATOR: u32 = 4;
    pub(super) const NODE_ATTRIBUTE: u32 = 5;
    pub(super) const NODE_DOMAIN: u32 = 7;
    pub(super) const ATTRIBUTE_NAME: u32 = 1;
    pub(super) const ATTRIBUTE_GRAPH: u32 = 6;
    pub(super) const ATTRIBUTE_GRAPHS: u32 = 11;
    pub(super) const TENSOR_NAME: u32 = 8;
    pub(super) const VALUE_NAME: u32 = 1;
    pub(super) const SPARSE_VALUES: u32 = 1;
}

/// The bytes of a model with edited nodes. `edits` are in the order of [`nodes_of`](crate::nodes_of), `unused` are the
/// values that it loses. `import` says whether it needs the operator set of [`QUANTIZED`].
pub(super) fn model(
    bytes: &[u8],
    edits: &[Option<Edit>],
    unused: &HashSet<&str>,
    import: bool,
) -> Result<Vec<u8>, Error> {
    let mut writer = Writer { edits, unused, next: 0 };
    let mut out = Vec::with_capacity(bytes.len());
    let all = fields(bytes)?;
    check_once(&all, &[number::MODEL_GRAPH])?;
    for field in all {
        match field.number {
            number::MODEL_GRAPH => put(&mut out, field.number, &writer.graph(field.content, true)?),
            _ => out.extend_from_slice(field.whole),
        }
    }
    if writer.next != edits.len() {
        return Err(malformed("its graphs are stored in several parts"));
    }
    if import {
        let import = OpsetId { domain: QUANTIZED.domain().to_string(), version: 1 };
        put(&mut out, number::MODEL_OPSET, &import.encode_to_vec());
    }
    Ok(out)
}

/// Refuses a message that has more than one of these fields. Protobuf would join them into one message.
fn check_once(fields: &[Field<'_>], numbers: &[u32]) -> Result<(), Error> {
    match fields.iter().filter(|field| numbers.contains(&field.number)).count() {
        0 | 1 => Ok(()),
        _ => Err(malformed("a graph is stored in several parts")),
    }
}

struct Writer<'e> {
    edits: &'e [Option<Edit>],
    unused: &'e HashSet<&'e str>,
    /// How many recurrent nodes were met.
    next: usize,
}

impl<'e> Writer<'e> {
    /// The bytes of a graph; `main` says whether it is the model's.
    fn graph(&mut self, bytes: &[u8], main: bool) -> Result<Vec<u8>, Error> {
        let all = fields(bytes)?;
        let of_nodes = all.iter().filter(|field| field.number == number::GRAPH_NODE);
        let nodes = of_nodes.map(|field| Node::decode(field.content).map_err(|e| malformed(&e.to_string())));
        let nodes = nodes.collect::<Result<Vec<Node>, Error>>()?;
        // The recurrent nodes of a graph come before those of the graphs inside it.
        let edits: Vec<Option<&Edit>> = nodes.iter().map(|node| self.edit_of(node)).collect();
        let mut nodes = nodes.iter().zip(edits);
        let mut out = Vec::with_capacity(bytes.len());
        for field in &all {
            let Field { number, whole, content } = *field;
            let next = if number == number::GRAPH_NODE { nodes.next() } else { None };
            match next {
                Some((_, Some(edit))) => edited(content, edit, &mut out)?,
                Some((node, None)) if is_removed(node, self.unused) => {}
                Some((node, None)) if node.graphs().next().is_some() => {
                    put(&mut out, number, &self.node(content)?);
                }
                None if self.is_lost(field, main)? => {}
                _ => out.extend_from_slice(whole),
            }
        }
        Ok(out)
    }

    /// The edit of a node, if it is a recurrent one and is edited.
    fn edit_of(&mut self, node: &Node) -> Option<&'e Edit> {
        RecurrentOp::from_type(&node.op_type)?;
        let edit = self.edits.get(self.next);
        self.next += 1;
        edit?.as_ref()
    }

    /// Whether a field of a graph is a stored tensor, an input or a type of a value that nothing uses. An input of a graph
    /// inside stays: the node around it gives it a value by its place.
    fn is_lost(&self, field: &Field<'_>, main: bool) -> Result<bool, Error> {
        let content = field.content;
        let name = match field.number {
            number::GRAPH_STORED => last(content, number::TENSOR_NAME)?,
            number::GRAPH_INPUT if !main => return Ok(false),
            number::GRAPH_INPUT | number::GRAPH_VALUE => last(content, number::VALUE_NAME)?,
            number::GRAPH_SPARSE => last(last(content, number::SPARSE_VALUES)?, number::TENSOR_NAME)?,
            _ => return Ok(false),
        };
        Ok(std::str::from_utf8(name).is_ok_and(|name| self.unused.contains(name)))
    }

    /// The bytes of a node with graphs, which may have recurrent nodes.
    fn node(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(bytes.len());
        for field in fields(bytes)? {
            if field.number != number::NODE_ATTRIBUTE {
                out.extend_from_slice(field.whole);
                continue;
            }
            let inner = fields(field.content)?;
            check_once(&inner, &[number::ATTRIBUTE_GRAPH])?;
            let has = |number| inner.iter().any(|field| field.number == number);
            if has(number::ATTRIBUTE_GRAPH) && has(number::ATTRIBUTE_GRAPHS) {
                // The order of their nodes would depend on the order of the fields.
                return Err(malformed("an attribute has a graph and a list of graphs"));
            }
            let mut attribute = Vec::with_capacity(field.content.len());
            for field in inner {
                match field.number {
                    number::ATTRIBUTE_GRAPH | number::ATTRIBUTE_GRAPHS => {
                        put(&mut attribute, field.number, &self.graph(field.content, false)?);
                    }
                    _ => attribute.extend_from_slice(field.whole),
                }
            }
            put(&mut out, field.number, &attribute);
        }
        Ok(out)
    }
}

/// Appends an edited node, with the nodes before and after it, to the bytes of a graph.
fn edited(bytes: &[u8], edit: &Edit, graph: &mut Vec<u8>) -> Result<(), Error> {
    let nodes = |nodes: &[Node], graph: &mut Vec<u8>| {
        nodes.iter().for_each(|node| put(graph, number::GRAPH_NODE, &node.encode_to_vec()));
    };
    nodes(&edit.before, graph);
    let mut out = Vec::with_capacity(bytes.len());
    edit.inputs.iter().for_each(|input| put(&mut out, number::NODE_INPUT, input.as_bytes()));
    edit.outputs.iter().for_each(|output| put(&mut out, number::NODE_OUTPUT, output.as_bytes()));
    for field in fields(bytes)? {
        let replaced = match field.number {
            number::NODE_INPUT | number::NODE_OUTPUT => true,
            number::NODE_OPERATOR | number::NODE_DOMAIN => edit.operator.is_some(),
            number::NODE_ATTRIBUTE => {
                let name = last(field.content, number::ATTRIBUTE_NAME)?;
                edit.dropped.iter().any(|dropped| dropped.as_bytes() == name)
            }
            _ => false,
        };
        if !replaced {
            out.extend_from_slice(field.whole);
        }
    }
    if let Some(operator) = edit.operator {
        put(&mut out, number::NODE_OPERATOR, operator.name().as_bytes());
        put(&mut out, number::NODE_DOMAIN, operator.domain().as_bytes());
    }
    let attribute = |attribute: &Attribute| put(&mut out, number::NODE_ATTRIBUTE, &attribute.encode_to_vec());
    edit.added.iter().for_each(attribute);
    put(graph, number::GRAPH_NODE, &out);
    nodes(&edit.after, graph);
    Ok(())
}
