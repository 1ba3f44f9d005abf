//! Generates the inputs that are not given.

use super::declared::{Declared, declared_inputs, weights};
use super::dims::{DimArgs, Free, Sizes, attempts};
use super::feeds::Feeds;
use super::given::{GivenArgs, given, half};
use super::roles::{Role, Uses};
use super::shown::shown_sizes;
use crate::tensors::{Random, Tensors};
use anyhow::{Context, Result, bail};
use rnnpack_onnx::{DType, Shown, Tensor, TensorData};

/// How to generate the inputs that are not given.
#[derive(clap::Args)]
pub(crate) struct GeneratedArgs {
    /// For generated inputs: the size of a named dimension, or all dimensions of an input; may be repeated
    #[arg(long, value_name = "DIM=4|INPUT=1x576")]
    pub(crate) dim: Vec<String>,
    /// Seed for generated values
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

/// The most inputs that are generated. The loader refuses a model with more, whatever their sizes are.
const MOST_INPUTS: usize = 1024;

/// One way to generate the inputs.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    sizes: Sizes,
    /// The longest length of a sequence.
    length: usize,
    /// Whether floats are positive. Otherwise they have both signs.
    pub(crate) positive: bool,
}

/// What is known before the inputs are generated.
pub(crate) struct Generator {
    bound: Tensors,
    given: Tensors,
    weights: Vec<String>,
    /// The inputs to generate.
    missing: Vec<Declared>,
    roles: Vec<Role>,
    dims: DimArgs,
    free: Vec<Free>,
    shown: Vec<usize>,
    seed: u64,
}

impl Generator {
    pub(crate) fn new(model: &[u8], args: &GivenArgs, how: &GeneratedArgs) -> Result<Generator> {
        let model = rnnpack_onnx::decode(model)?;
        let graph = model.graph()?;
        let declared = declared_inputs(&model)?;
        let (bound, given) = given(&declared, args)?;
        let mut dims = DimArgs::parse(&declared, &how.dim)?;
        let mut missing = Vec::new();
        for input in &declared {
            match bound.get(&input.name).or_else(|| given.get(&input.name)) {
                Some(value) => dims.learn(input, value.dims()),
                None if input.has_default => {}
                None => missing.push(input.clone()),
            }
        }
        if missing.len() > MOST_INPUTS {
            bail!("the model has more than {MOST_INPUTS} inputs");
        }
        let uses = Uses::new(graph);
        let roles = missing.iter().map(|input| uses.role(&input.name)).collect();
        let free = dims.free(&missing);
        let (weights, shown, seed) = (weights(&declared), shown_sizes(graph), how.seed);
        Ok(Generator { bound, given, weights, missing, roles, dims, free, shown, seed })
    }

    /// The ways to generate the inputs, the most useful first.
    pub(crate) fn attempts(&self) -> Result<impl Iterator<Item = Attempt>> {
        let lengths = self.roles.iter().any(|role| matches!(role, Role::Lengths(_)));
        // Whether the sizes are known does not depend on the attempt.
        self.longest(&Sizes::new())?;
        let with_lengths = move |(i, sizes): (usize, Sizes)| {
            let mut longest = if lengths { self.longest(&sizes).unwrap_or_default() } else { vec![1] };
            // The first sizes are likely to fit, so every number of steps is tried with them.
            longest.truncate(if i < 3 { longest.len() } else { 2 });
            longest.into_iter().map(move |length| Attempt { sizes: sizes.clone(), length, positive: false })
        };
        Ok(attempts(&self.free, &self.shown).enumerate().flat_map(with_lengths))
    }

    /// The possible numbers of steps, the largest first: the sizes of the axes of all other inputs. One that is too
    /// large is refused when the model runs.
    fn longest(&self, sizes: &Sizes) -> Result<Vec<usize>> {
        let mut found: Vec<usize> = self.given.values().flat_map(Tensor::dims).copied().collect();
        for (input, role) in self.missing.iter().zip(&self.roles) {
            if !matches!(role, Role::Lengths(_)) && !input.weights {
                found.extend(self.dims.dims(input, sizes)?);
            }
        }
        found.push(1);
        found.retain(|&size| size > 0);
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.dedup();
        Ok(found)
    }

    /// The inputs of one call.
    pub(crate) fn feeds(&self, attempt: &Attempt) -> Result<Feeds> {
        let mut random = Random::new(self.seed);
        let mut step = self.given.clone();
        let mut generated = Vec::new();
        for (input, role) in self.missing.iter().zip(&self.roles) {
            let dims = self.dims.dims(input, &attempt.sizes)?;
            let (tensor, values) = generate(input, role, dims, attempt, &mut random)?;
            generated.push(format!(
                "{} {} {:?}, {values}",
                Shown(&input.name),
                tensor.dtype(),
                tensor.dims()
            ));
            step.insert(input.name.clone(), tensor);
        }
        Ok(Feeds { bound: self.bound.clone(), weights: self.weights.clone(), steps: vec![step], generated })
    }
}

/// Generates a value. Also returns how, in words.
fn generate(
    input: &Declared,
    role: &Role,
    dims: Vec<usize>,
    attempt: &Attempt,
    random: &mut Random,
) -> Result<(Tensor, String)> {
    let name = Shown(&input.name).to_string();
    let len = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let len =
        len.filter(|&n| n <= 1 << 32).with_context(|| format!("input {name:?} is too large: {dims:?}"))?;
    let (data, values) = match input.dtype {
        Some(dtype @ (DType::F32 | DType::F64 | DType::F16 | DType::BF16)) => {
            let mut floats = random.uniform(len, 1.0)?;
            if attempt.positive {
                floats.iter_mut().for_each(|x| *x = x.abs());
            }
            let values = if attempt.positive { "uniform in 0 to 1" } else { "uniform in ±1" };
            (of_floats(dtype, floats)?, values.to_owned())
        }
        Some(DType::Bool) if len == 1 => (TensorData::Bool(vec![true]), "true".to_owned()),
        Some(DType::Bool) => {
            let values = (0..len).map(|i| i == 0 || random.below(4) > 0).collect();
            (TensorData::Bool(values), "true in three of four places".to_owned())
        }
        Some(dtype) => {
            let (integers, values) = integers(dtype, role, len, attempt.length, random);
            let data = of_integers(dtype, &integers)
                .with_context(|| format!("input {name:?} is {dtype}, which cannot hold {values}"))?;
            (data, values)
        }
        None => bail!("input {name:?} has elements of a type that is not read"),
    };
    let tensor = Tensor::from_data(dims, data).with_context(|| format!("input {name:?} is too large"))?;
    Ok((tensor, values))
}

/// Integers for this role, and how they were drawn, in words.
fn integers(
    dtype: DType,
    role: &Role,
    len: usize,
    longest: usize,
    random: &mut Random,
) -> (Vec<i64>, String) {
    let mut uniform = |from: i64, to: i64| -> Vec<i64> {
        let size = to.saturating_sub(from).clamp(1, 1 << 31) as usize;
        (0..len).map(|_| from + random.below(size) as i64).collect()
    };
    match role {
        Role::Lengths(node) => {
            let lengths = spread(len, longest, random);
            (lengths, format!("lengths spread from 1 to {longest}, in random order ({node} reads them)"))
        }
        Role::Indices(range, node) if !range.is_empty() => {
            let values =
                format!("uniform from {} to {} ({node} reads that many rows)", range.start, range.end - 1);
            (uniform(range.start, range.end), values)
        }
        Role::Compared(number, node) => {
            (vec![*number; len], format!("{number} ({node} compares it with that)"))
        }
        Role::Numbers(node) => {
            let [from, to] = match dtype {
                DType::I8 => [-128, 127],
                DType::U8 => [0, 255],
                DType::I16 => [-32768, 32767],
                DType::U16 => [0, 65535],
                _ => [0, 7],
            };
            (uniform(from, to + 1), format!("uniform from {from} to {to} ({node} makes floats of them)"))
        }
        _ => (vec![1; len], "all 1 (the graph shows no range)".to_owned()),
    }
}

/// `len` lengths from 1 to `longest`, as different as possible, in random order. At least one is the longest.
fn spread(len: usize, longest: usize, random: &mut Random) -> Vec<i64> {
    let steps = len.saturating_sub(1).max(1);
    let mut lengths: Vec<i64> = (0..len).map(|i| (longest - i * (longest - 1) / steps) as i64).collect();
    random.shuffle(&mut lengths);
    lengths
}

fn of_floats(dtype: DType, floats: Vec<f32>) -> Result<TensorData> {
    match dtype {
        DType::F32 => Ok(TensorData::F32(floats)),
        DType::F64 => Ok(TensorData::F64(floats.into_iter().map(f64::from).collect())),
        _ => half(dtype, floats),
    }
}

/// `None` if the type cannot hold them.
fn of_integers(dtype: DType, integers: &[i64]) -> Option<TensorData> {
    fn narrow<T: TryFrom<i64>>(integers: &[i64]) -> Option<Vec<T>> {
        integers.iter().map(|&x| T::try_from(x).ok()).collect()
    }
    Some(match dtype {
        DType::I64 => TensorData::I64(integers.to_vec()),
        DType::I32 => TensorData::I32(narrow(integers)?),
        DType::I8 => TensorData::I8(narrow(integers)?),
        DType::I16 => TensorData::I16(narrow(integers)?),
        DType::U8 => TensorData::U8(narrow(integers)?),
        DType::U16 => TensorData::U16(narrow(integers)?),
        DType::U32 => TensorData::U32(narrow(integers)?),
        DType::U64 => TensorData::U64(narrow(integers)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_differ_and_reach_the_longest() {
        for (len, longest, expected) in [
            (4, 5, vec![1, 3, 4, 5]),
            (3, 2, vec![1, 2, 2]),
            (1, 7, vec![7]),
            (5, 1, vec![1; 5]),
            (0, 3, vec![]),
        ] {
            let mut lengths = spread(len, longest, &mut Random::new(1));
            lengths.sort_unstable();
            assert_eq!(lengths, expected, "{len} {longest}");
        }
    }

    #[test]
    fn integers_stay_within_their_range_and_their_type() {
        let mut random = Random::new(1);
        let table = Role::Indices(2..7, "Gather `emb`".to_owned());
        let (values, words) = integers(DType::I64, &table, 1000, 1, &mut random);
        assert!((2..7).all(|row| values.contains(&row)) && values.iter().all(|v| (2..7).contains(v)));
        assert_eq!(words, "uniform from 2 to 6 (Gather `emb` reads that many rows)");
        let numbers = Role::Numbers("Cast `c`".to_owned());
        let (bytes, _) = integers(DType::I8, &numbers, 5000, 1, &mut random);
        assert!(bytes.contains(&-128) && bytes.contains(&127) && of_integers(DType::I8, &bytes).is_some());
        assert!(of_integers(DType::U8, &[256]).is_none());
    }
}
