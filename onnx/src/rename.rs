//! Gives new names to values of a graph, everywhere where the old names mean these values.

use crate::names::UniqueNames;
use crate::proto::{Graph, Node};
use std::collections::{HashMap, HashSet};

/// Which values get a new name.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Renamed {
    /// All.
    All,
    /// Those whose name hides a value of a graph around them.
    Hiding,
}

/// The names that are visible where the renaming is.
pub(crate) struct Renamer<'u> {
    which: Renamed,
    unique: &'u mut UniqueNames,
    /// For each visible name, the new names of the values that have it. The innermost value is the last one.
    visible: HashMap<String, Vec<String>>,
    /// How many more bytes of names may be written.
    pub(crate) left: usize,
}

/// Why names are not renamed.
pub(crate) enum Failure {
    /// No value has this name.
    Unknown(String),
    /// There are too many bytes of names.
    TooLarge,
}

impl<'u> Renamer<'u> {
    /// New names are made unique by `unique`, which must have taken all names that may be visible. At most `left` bytes
    /// of names are written.
    pub(crate) fn new(which: Renamed, unique: &'u mut UniqueNames, left: usize) -> Renamer<'u> {
        Renamer { which, unique, visible: HashMap::new(), left }
    }

    /// Makes `name` visible as the value `new`.
    pub(crate) fn define(&mut self, name: &str, new: String) {
        self.visible.entry(name.to_string()).or_default().push(new);
    }

    /// Makes `name` visible, with a new name if it gets one.
    pub(crate) fn define_new(&mut self, name: &str) {
        let new = match self.which == Renamed::All || self.meaning(name).is_some() {
            true => self.unique.unique(name),
            false => name.to_string(),
        };
        self.define(name, new);
    }

    /// The new name of the value that `name` means.
    pub(crate) fn meaning(&self, name: &str) -> Option<&str> {
        self.visible.get(name)?.last().map(String::as_str)
    }

    /// Renames the inputs and outputs of nodes and the values of the graphs inside them. All names that the nodes may
    /// use must be visible.
    pub(crate) fn nodes(&mut self, nodes: &mut [Node]) -> Result<(), Failure> {
        for node in nodes {
            let names = node.input.iter_mut().chain(&mut node.output);
            names.filter(|name| !name.is_empty()).try_for_each(|name| self.rename(name))?;
            node.graphs_mut().try_for_each(|graph| self.graph(graph))?;
        }
        Ok(())
    }

    /// Renames the values of a graph.
    pub(crate) fn graph(&mut self, graph: &mut Graph) -> Result<(), Failure> {
        let mut seen = HashSet::new();
        let own = graph.defined().filter(|name| seen.insert(*name));
        let own: Vec<String> = own.map(str::to_string).collect();
        own.iter().for_each(|name| self.define_new(name));
        let sparse = graph.sparse_initializer.iter_mut().filter_map(|s| Some(&mut s.values.as_mut()?.name));
        let stored = graph.initializer.iter_mut().map(|t| &mut t.name);
        let inputs = graph.input.iter_mut().map(|i| &mut i.name);
        let outputs = graph.output.iter_mut().map(|o| &mut o.name);
        let mut names = inputs.chain(stored).chain(sparse).chain(outputs).filter(|name| !name.is_empty());
        names.try_for_each(|name| self.rename(name))?;
        // A type of a value that is not there says nothing.
        graph.value_info.retain_mut(|info| self.rename(&mut info.name).is_ok());
        self.nodes(&mut graph.node)?;
        for name in own {
            if let Some(names) = self.visible.get_mut(&name) {
                names.pop();
            }
        }
        Ok(())
    }

    fn rename(&mut self, name: &mut String) -> Result<(), Failure> {
        match self.visible.get(name.as_str()).and_then(|names| names.last()) {
            Some(new) => {
                self.left = self.left.checked_sub(new.len()).ok_or(Failure::TooLarge)?;
                new.clone_into(name);
                Ok(())
            }
            None if self.which == Renamed::All => Err(Failure::Unknown(name.clone())),
            None => Ok(()),
        }
    }
}
