//! Encodes model-local functions and their calls.

use super::{Msg, attr, node};

/// A model-local function under construction, of domain `local`.
#[derive(Clone, Default)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its inputs.
    pub inputs: Vec<String>,
    /// Its outputs.
    pub outputs: Vec<String>,
    /// The names of its attributes without a default.
    pub attributes: Vec<String>,
    /// Its attributes with a default.
    pub defaults: Vec<Msg>,
    /// Its nodes.
    pub nodes: Vec<Msg>,
}

impl Function {
    /// A function with these values and nodes.
    pub fn new(name: &str, inputs: &[&str], outputs: &[&str], nodes: &[Msg]) -> Function {
        let [inputs, outputs] = [inputs, outputs].map(|names| names.iter().map(|n| n.to_string()).collect());
        Function { name: name.into(), inputs, outputs, nodes: nodes.to_vec(), ..Function::default() }
    }

    /// Adds the function to a model. It imports operator set `opset`.
    pub fn add_to(&self, model: Vec<u8>, opset: i64) -> Vec<u8> {
        let m = Msg::default().text(1, &self.name).text(10, "local");
        let m = self.inputs.iter().fold(m, |m, name| m.text(4, name));
        let m = self.outputs.iter().fold(m, |m, name| m.text(5, name));
        let m = self.attributes.iter().fold(m, |m, name| m.text(6, name));
        let m = self.defaults.iter().fold(m, |m, a| m.msg(11, a));
        let m = self.nodes.iter().fold(m, |m, node| m.msg(7, node));
        Msg(model).msg(25, &m.msg(9, &Msg::default().text(1, "").int(2, opset))).0
    }
}

/// A node that calls the function `name`.
pub fn call(name: &str, node_name: &str, inputs: &[&str], outputs: &[&str], attrs: &[Msg]) -> Msg {
    node(name, node_name, inputs, outputs, attrs).text(7, "local")
}

/// An attribute of type `kind` that refers to the attribute `of` of the function around it.
pub fn attr_ref(name: &str, kind: i64, of: &str) -> Msg {
    attr(name, kind).text(21, of)
}
