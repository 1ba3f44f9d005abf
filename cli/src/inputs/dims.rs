//! The sizes of the inputs that are generated: what `--dim` says, and what to try for the rest.

use super::declared::Declared;
use super::given::split;
use anyhow::{Context, Result, bail};
use rnnpack_onnx::{Extent, Shown};
use std::collections::{BTreeMap, BTreeSet};

/// The parsed values of `--dim`.
pub(super) struct DimArgs {
    /// Sizes by the name of the dimension.
    named: BTreeMap<String, usize>,
    /// All dimensions by the name of the input.
    inputs: BTreeMap<String, Vec<usize>>,
}

/// A dimension whose size nobody gives: one with a name, wherever it stands, or one axis of an input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Free {
    Named(String),
    Axis(String, usize),
}

/// Sizes for the free dimensions.
pub(super) type Sizes = BTreeMap<Free, usize>;

impl DimArgs {
    pub(super) fn parse(declared: &[Declared], args: &[String]) -> Result<DimArgs> {
        let known = |name: &str| {
            let dims = declared.iter().flat_map(|d| d.dims.iter().flatten());
            dims.into_iter().any(|e| matches!(e, Extent::Named(n) if n == name))
        };
        let mut parsed = DimArgs { named: BTreeMap::new(), inputs: BTreeMap::new() };
        for arg in args {
            let (name, value) = split(arg, "--dim", "batch=4 or x=1x576")?;
            let sizes: Option<Vec<usize>> = value.split('x').map(|n| n.parse().ok()).collect();
            let sizes = sizes.with_context(|| format!("--dim {arg}: give sizes, like batch=4 or x=1x576"))?;
            if declared.iter().any(|d| d.name == name) {
                parsed.inputs.insert(name.to_owned(), sizes);
            } else if let (true, [size]) = (known(name), sizes.as_slice()) {
                parsed.named.insert(name.to_owned(), *size);
            } else {
                bail!("--dim {arg}: no input and no dimension has this name; a dimension takes one size");
            }
        }
        Ok(parsed)
    }

    /// Learns the sizes of named dimensions from a value that the user gives.
    pub(super) fn learn(&mut self, declared: &Declared, dims: &[usize]) {
        for (extent, &size) in declared.dims.iter().flatten().zip(dims) {
            if let Extent::Named(name) = extent {
                self.named.entry(name.clone()).or_insert(size);
            }
        }
    }

    /// The free dimensions of these inputs, in their order.
    pub(super) fn free(&self, inputs: &[Declared]) -> Vec<Free> {
        let mut seen = BTreeSet::new();
        let inputs = inputs.iter().filter(|input| !self.inputs.contains_key(&input.name));
        let axes = inputs.flat_map(|input| {
            let axes = input.dims.iter().flatten().enumerate();
            axes.filter_map(move |(axis, extent)| self.free_at(input, axis, extent))
        });
        axes.filter(|free| seen.insert(free.clone())).collect()
    }

    fn free_at(&self, input: &Declared, axis: usize, extent: &Extent) -> Option<Free> {
        match extent {
            Extent::Fixed(_) => None,
            Extent::Named(name) if self.named.contains_key(name) => None,
            Extent::Named(name) => Some(Free::Named(name.clone())),
            Extent::Unknown => Some(Free::Axis(input.name.clone(), axis)),
        }
    }

    /// The dimensions of an input, with these sizes for the free ones.
    pub(super) fn dims(&self, declared: &Declared, sizes: &Sizes) -> Result<Vec<usize>> {
        if let Some(dims) = self.inputs.get(&declared.name) {
            return Ok(dims.clone());
        }
        let name = Shown(&declared.name).to_string();
        let dims = declared.dims.as_ref();
        let dims = dims.with_context(|| {
            format!("the model does not say how many dimensions {name:?} has: give --dim {name}=1x2x3")
        })?;
        let size = |(axis, extent): (usize, &Extent)| match (self.free_at(declared, axis, extent), extent) {
            (Some(free), _) => sizes.get(&free).copied().unwrap_or(EQUAL),
            (None, Extent::Fixed(n)) => *n,
            (None, Extent::Named(name)) => self.named[name],
            (None, Extent::Unknown) => EQUAL,
        };
        Ok(dims.iter().enumerate().map(size).collect())
    }
}

/// The sizes of the first attempt, in turn. They differ, so that a mix-up of two dimensions shows.
const DIFFERENT: [usize; 5] = [4, 5, 3, 6, 7];
/// The size of the second attempt: dimensions without a name may have to be equal.
const EQUAL: usize = 4;
/// Small sizes to try one by one: batches that an exporter fixed.
const SMALL: [usize; 2] = [2, 3];
/// Larger sizes: those of frames and kernels.
const LADDER: [usize; 14] = [8, 16, 32, 64, 128, 256, 512, 1024, 160, 320, 400, 480, 576, 2048];

/// The sizes to try, the most useful first. `shown` are sizes that the graph shows. Each is made when it is tried: a
/// model may have many free dimensions.
pub(super) fn attempts<'a>(free: &'a [Free], shown: &'a [usize]) -> impl Iterator<Item = Sizes> {
    let all = |size: &dyn Fn(usize) -> usize| -> Sizes {
        free.iter().enumerate().map(|(i, free)| (free.clone(), size(i))).collect()
    };
    let first: [fn(usize) -> usize; 3] = [|i| DIFFERENT[i % DIFFERENT.len()], |_| EQUAL, |_| 1];
    // Of one dimension and of none, some are the same.
    let first = match free.len() {
        0 => &first[..1],
        1 => &first[1..],
        _ => &first[..],
    }
    .to_vec();
    let mut seen = BTreeSet::new();
    let sizes = SMALL.iter().chain(shown).chain(&LADDER).copied().filter(move |&size| seen.insert(size));
    // With one free dimension there is no rest.
    let rests = if free.len() > 1 { &[EQUAL, 1][..] } else { &[EQUAL] };
    let ones = sizes.flat_map(|size| (0..free.len()).map(move |one| (size, one)));
    let ones = ones.flat_map(move |(size, one)| rests.iter().map(move |&rest| (size, one, rest)));
    let ones = ones.filter(|(size, _, rest)| (size, rest) != (&EQUAL, &EQUAL));
    let ones = ones.map(move |(size, one, rest)| all(&|i| if i == one { size } else { rest }));
    first.into_iter().map(move |size| all(&size)).chain(ones)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_many_attempts_come_at_once() {
        let free: Vec<Free> = (0..20_000).map(|i| Free::Axis("x".to_owned(), i)).collect();
        let found: Vec<Sizes> = attempts(&free, &[9]).take(5).collect();
        let of = |i: usize, axis: usize| found[i][&free[axis]];
        assert_eq!([of(0, 0), of(0, 1), of(0, 5), of(1, 1), of(2, 1)], [4, 5, 4, 4, 1]);
        assert_eq!([of(3, 0), of(3, 1), of(4, 0), of(4, 1)], [2, 4, 2, 1]);
    }

    #[test]
    fn equal_sizes_are_tried_once() {
        for count in 0..4 {
            let free: Vec<Free> = (0..count).map(|i| Free::Axis("x".to_owned(), i)).collect();
            let found: Vec<Sizes> = attempts(&free, &[9, 8, 4, 2, 40]).collect();
            assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "{count}");
        }
    }
}
