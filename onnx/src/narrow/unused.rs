//! Finds the values that nothing uses once recurrent nodes have given up their old weights.

use crate::proto::{Graph, Node};
use std::collections::{HashMap, HashSet};

/// How often values are used, and what makes them. Names are counted over all graphs together: a name that two values have
/// counts for both, so that no used value is lost.
#[derive(Default)]
struct Uses<'m> {
    counts: HashMap<&'m str, usize>,
    makers: HashMap<&'m str, Vec<&'m Node>>,
}

impl<'m> Uses<'m> {
    fn add(&mut self, graph: &'m Graph) {
        for node in &graph.node {
            for input in &node.input {
                *self.counts.entry(input).or_default() += 1;
            }
            for output in &node.output {
                self.makers.entry(output).or_default().push(node);
            }
            node.graphs().for_each(|inner| self.add(inner));
        }
        for output in &graph.output {
            *self.counts.entry(&output.name).or_default() += 1;
        }
    }

    /// Takes one use of a value away. Returns whether it was the last.
    fn release(&mut self, name: &str) -> bool {
        match self.counts.get_mut(name) {
            Some(count @ 1..) => {
                *count -= 1;
                *count == 0
            }
            _ => false,
        }
    }
}

/// The names of the values of `graph` and the graphs inside it that nothing uses after each of `released` lost one use, and
/// that are computed only for them.
pub(super) fn unused<'m>(graph: &'m Graph, released: &[&'m str]) -> HashSet<&'m str> {
    let mut uses = Uses::default();
    uses.add(graph);
    let mut open: Vec<&str> = released.to_vec();
    let (mut found, mut removed) = (HashSet::new(), HashSet::new());
    while let Some(name) = open.pop() {
        if name.is_empty() || !uses.release(name) {
            continue;
        }
        found.insert(name);
        for maker in uses.makers.get(name).cloned().unwrap_or_default() {
            if is_removed(maker, &found) && removed.insert(std::ptr::from_ref(maker)) {
                open.extend(maker.input.iter().map(String::as_str));
            }
        }
    }
    found
}

/// Whether a node makes only values that nothing uses. A node with graphs stays: they use values that it does not name.
pub(super) fn is_removed(node: &Node, unused: &HashSet<&str>) -> bool {
    let mut outputs = node.output.iter().filter(|output| !output.is_empty()).peekable();
    outputs.peek().is_some()
        && outputs.all(|output| unused.contains(output.as_str()))
        && node.graphs().next().is_none()
}
