//! Expands model-local functions: replaces every node that calls one by the nodes of the function.

use crate::brief::Name;
use crate::error::Error;
use crate::footprint;
use crate::names::UniqueNames;
use crate::proto::{Attribute, Function, Graph, Model, Node};
use crate::rename::{Failure, Renamed, Renamer};
use crate::shadow::take_names;
use prost::Message;
use std::collections::{HashMap, HashSet};

/// How many calls may be inside each other.
const MAX_CALLS: usize = 64;

/// How many graphs may be inside each other after the expansion. A file cannot have more, because `prost` bounds the
/// nesting of its messages.
const MAX_GRAPHS: usize = 33;

/// What the copies of functions may take in memory: this many bytes, and this many for each byte of the model.
const MAX_COPIES: (usize, usize) = (16 << 20, 8);

/// The domain, the name and the overload of a function.
type Id<'m> = (&'m str, &'m str, &'m str);

/// Replaces every call of a function by the nodes of the function, and removes the functions from the model.
///
/// # Errors
/// [`Error::Function`], [`Error::Opset`] and [`Error::Node`]. A function that no node calls is not read beyond its id.
pub(crate) fn expand(model: &mut Model) -> Result<(), Error> {
    if model.functions.is_empty() {
        return Ok(());
    }
    let budget = model.encoded_len().saturating_mul(MAX_COPIES.1).saturating_add(MAX_COPIES.0);
    let functions = std::mem::take(&mut model.functions);
    let mut table = HashMap::new();
    for f in &functions {
        if table.insert((f.domain.as_str(), f.name.as_str(), f.overload.as_str()), f).is_some() {
            return Err(bad(f, "two functions of the model have this domain, name and overload"));
        }
    }
    let Some(graph) = &mut model.graph else { return Ok(()) };
    let mut names = UniqueNames::default();
    take_names(graph, &mut names);
    let opset = model.opset_import.iter().find(|o| o.domain.is_empty()).map(|o| o.version);
    let mut expander =
        Expander { functions: &table, opset, names, left: budget, calls: Vec::new(), graphs: 0 };
    expander.graph(graph)
}

fn bad(function: &Function, reason: impl Into<String>) -> Error {
    Error::Function { function: function.name.clone(), reason: reason.into() }
}

struct Expander<'m> {
    functions: &'m HashMap<Id<'m>, &'m Function>,
    /// The version of the standard operator set that the model imports.
    opset: Option<i64>,
    names: UniqueNames,
    /// How many more bytes the copies of functions may take.
    left: usize,
    /// The functions whose nodes are being expanded, from the outermost on.
    calls: Vec<&'m Function>,
    /// How many graphs are around the nodes that are being expanded.
    graphs: usize,
}

impl<'m> Expander<'m> {
    fn graph(&mut self, graph: &mut Graph) -> Result<(), Error> {
        self.graphs += 1;
        if self.graphs > MAX_GRAPHS {
            let reason = format!("its nodes are inside {MAX_GRAPHS} graphs, the most that are expanded");
            return Err(self.calls.last().map_or_else(
                || Error::Malformed {
                    reason: format!("more than {MAX_GRAPHS} graphs are inside each other"),
                },
                |f| bad(f, reason),
            ));
        }
        let mut expanded = Vec::with_capacity(graph.node.len());
        for node in std::mem::take(&mut graph.node) {
            self.node(node, &mut expanded)?;
        }
        graph.node = expanded;
        self.graphs -= 1;
        Ok(())
    }

    /// Appends a node to `to`, or the nodes of the function that it calls.
    fn node(&mut self, mut node: Node, to: &mut Vec<Node>) -> Result<(), Error> {
        node.graphs_mut().try_for_each(|graph| self.graph(graph))?;
        let id = (node.domain.as_str(), node.op_type.as_str(), node.overload.as_str());
        let Some(&function) = self.functions.get(&id) else {
            to.push(node);
            return Ok(());
        };
        if self.calls.iter().any(|open| std::ptr::eq(*open, function)) {
            return Err(bad(function, "it calls itself, directly or through other functions"));
        }
        if self.calls.len() == MAX_CALLS {
            let reason = format!("it is inside {MAX_CALLS} other calls, the most that are expanded");
            return Err(bad(function, reason));
        }
        let nodes = self.body(function, &node)?;
        self.calls.push(function);
        nodes.into_iter().try_for_each(|node| self.node(node, to))?;
        self.calls.pop();
        Ok(())
    }

    /// The nodes of `function` for one call, with the call's values and attributes.
    fn body(&mut self, function: &'m Function, call: &Node) -> Result<Vec<Node>, Error> {
        self.spend(function, footprint::of_function(function))?;
        self.check(function, call)?;
        let mut nodes = function.node.clone();
        self.rename(function, call, &mut nodes)?;
        let mut values: HashMap<&str, &Attribute> = HashMap::new();
        for a in function.attribute_proto.iter().chain(&call.attribute) {
            values.insert(&a.name, a);
        }
        let prefix = if call.name.is_empty() { &function.name } else { &call.name };
        for node in &mut nodes {
            let inner = if node.name.is_empty() { &node.op_type } else { &node.name };
            self.spend(function, prefix.len() + inner.len())?;
            node.name = format!("{prefix}/{inner}");
        }
        self.bind(function, &values, &mut nodes)?;
        Ok(nodes)
    }

    fn spend(&mut self, function: &Function, bytes: usize) -> Result<(), Error> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| too_large(function))?;
        Ok(())
    }

    /// Gives the values of the function their names outside: those of the call, or new ones.
    fn rename(&mut self, function: &Function, call: &Node, nodes: &mut Vec<Node>) -> Result<(), Error> {
        let mut renamer = Renamer::new(Renamed::All, &mut self.names, self.left);
        for (i, input) in function.input.iter().enumerate() {
            renamer.define(input, call.input.get(i).cloned().unwrap_or_default());
        }
        let wanted = function.output.iter().zip(&call.output).filter(|(_, name)| !name.is_empty());
        let mut direct: HashMap<&str, &str> = HashMap::new();
        for (inner, outer) in wanted.clone() {
            direct.entry(inner).or_insert(outer);
        }
        for value in function.node.iter().flat_map(|n| &n.output).filter(|name| !name.is_empty()) {
            if renamer.meaning(value).is_some() {
                return Err(bad(function, format!("two of its values have the name {}", Name(value))));
            }
            match direct.get(value.as_str()) {
                Some(outer) => renamer.define(value, outer.to_string()),
                None => renamer.define_new(value),
            }
        }
        renamer.nodes(nodes).map_err(|failure| match failure {
            Failure::Unknown(name) => bad(function, format!("it has no value {}", Name(&name))),
            Failure::TooLarge => too_large(function),
        })?;
        for (inner, outer) in wanted {
            match renamer.meaning(inner) {
                Some(from) if from == outer => {}
                Some("") | None => {
                    return Err(bad(function, format!("its output {} has no value", Name(inner))));
                }
                // An input that is also an output, or a value that is two outputs.
                Some(from) => nodes.push(Node {
                    op_type: "Identity".into(),
                    input: vec![from.into()],
                    output: vec![outer.clone()],
                    ..Node::default()
                }),
            }
        }
        self.left = renamer.left;
        Ok(())
    }

    /// Replaces references to attributes of the function by the values of these attributes. A reference to an attribute
    /// that has no value is removed.
    fn bind(
        &mut self,
        function: &Function,
        values: &HashMap<&str, &Attribute>,
        nodes: &mut [Node],
    ) -> Result<(), Error> {
        for node in nodes {
            for a in std::mem::take(&mut node.attribute) {
                let (name, referred) = (a.name.clone(), a.ref_attr_name.as_str());
                match values.get(referred) {
                    _ if referred.is_empty() => node.attribute.push(a),
                    None => {}
                    Some(value) if a.kind != 0 && a.kind != value.kind => {
                        let reason = "it refers to an attribute of a function that has another type";
                        return Err(Error::bad_attribute(&node.name, &name, reason));
                    }
                    Some(&value) => {
                        self.spend(function, footprint::of_attribute(value) + name.len())?;
                        node.attribute.push(Attribute { name, ..value.clone() });
                    }
                }
            }
            // A graph that the call gives has no references left.
            node.graphs_mut().try_for_each(|graph| self.bind(function, values, &mut graph.node))?;
        }
        Ok(())
    }

    /// Checks a function and a node that calls it against each other.
    fn check(&self, function: &Function, call: &Node) -> Result<(), Error> {
        let refuse =
            |reason: String| Err(Error::Node { node: call.name.clone(), op: call.op_type.clone(), reason });
        for (what, found, known) in [
            ("inputs", call.input.len(), function.input.len()),
            ("outputs", call.output.len(), function.output.len()),
        ] {
            if found > known {
                return refuse(format!("it has {found} {what}, but the function has {known}"));
            }
        }
        let known = function.attribute.iter().chain(function.attribute_proto.iter().map(|a| &a.name));
        let mut attributes = HashSet::new();
        for name in known {
            if !attributes.insert(name) {
                return Err(bad(function, format!("two of its attributes have the name {}", Name(name))));
            }
        }
        let mut given = HashSet::new();
        for a in &call.attribute {
            if !attributes.contains(&a.name) {
                return refuse(format!("the function has no attribute {}", Name(&a.name)));
            }
            if !given.insert(&a.name) {
                return refuse(format!("the attribute {} is given twice", Name(&a.name)));
            }
        }
        let mut inputs = HashSet::new();
        if let Some(twice) = function.input.iter().find(|name| !inputs.insert(*name)) {
            return Err(bad(function, format!("two of its inputs have the name {}", Name(twice))));
        }
        self.check_opset(function)
    }

    /// Checks that the standard operators in a function are those of the model.
    fn check_opset(&self, function: &Function) -> Result<(), Error> {
        fn standard(nodes: &[Node]) -> bool {
            nodes.iter().any(|n| n.domain.is_empty() || n.graphs().any(|graph| standard(&graph.node)))
        }
        let imported: Vec<i64> =
            function.opset_import.iter().filter(|o| o.domain.is_empty()).map(|o| o.version).collect();
        if !standard(&function.node) || imported.iter().copied().map(Some).eq([self.opset]) {
            return Ok(());
        }
        let model = self.opset.map_or("none".to_string(), |version| version.to_string());
        let reason = format!("a function must import the version of the model, which is {model}");
        let subject = format!("function {}", Name(&function.name));
        Err(Error::Opset { subject, version: imported.first().copied(), reason })
    }
}

fn too_large(function: &Function) -> Error {
    bad(function, "with all copies of functions, the model takes too much memory")
}
