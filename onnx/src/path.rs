//! The path of a graph in a model: `main`, `main/if_node.then_branch`.

use crate::brief::Shown;
use crate::proto;
use std::sync::Arc;

/// The most bytes of a path. A path that would be longer ends with `/…`, so that many graphs deep inside others do not
/// multiply the names around them.
const LONGEST: usize = 512;

/// The path of a graph. Its names are [`Shown`].
pub(crate) struct Path(Arc<str>);

impl Path {
    /// The path of the main graph.
    pub(crate) fn main() -> Path {
        Path("main".into())
    }

    /// The path of graph `g` of an attribute of `node`, which is number `i` of the graph of this path.
    pub(crate) fn inside(
        &self,
        (node, i): (&proto::Node, usize),
        (attribute, g): (&proto::Attribute, usize),
    ) -> Path {
        if self.0.ends_with('…') {
            return Path(self.0.clone());
        }
        let name = match node.name.as_str() {
            "" => format!("{}_{i}", Shown(&node.op_type)),
            name => Shown(name).to_string(),
        };
        let number = if g == 0 { String::new() } else { format!("[{g}]") };
        let path = format!("{}/{name}.{}{number}", self.0, Shown(&attribute.name));
        match path.len() <= LONGEST {
            true => Path(path.into()),
            false => Path(format!("{}/…", self.0).into()),
        }
    }

    pub(crate) fn text(&self) -> Arc<str> {
        self.0.clone()
    }
}
