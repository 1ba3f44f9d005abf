//! Planning: how a layer is computed on this machine.

use crate::{Error, Shape};
use rnnpack_kernels::blocking::Caches;
use rnnpack_kernels::{Cell, Dots, Variant, WeightType};
use std::fmt;

/// The environment variable that forces an instruction set. Its values are the names of [`Variant::available`], in
/// upper or lower case. An empty value counts as none.
pub const ISA_VARIABLE: &str = "RNNPACK_ISA";

/// Decides how a layer is computed on this machine: the instruction set and the loop extents. A plan is plain data.
///
/// ```
/// use rnnpack::{Cell, Direction, Planner, Shape};
///
/// # fn main() -> Result<(), rnnpack::Error> {
/// let shape = Shape { input: 64, hidden: 128, direction: Direction::Forward };
/// let plan = Planner::for_isa("portable")?.plan(&Cell::lstm(), shape);
/// assert_eq!(plan.variant.name(), "portable"); // for `Layer::with_plan`
/// assert!(Planner::for_isa("abacus").is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planner {
    /// The variants to choose from, widest first; at least one.
    variants: Vec<Variant>,
    caches: Caches,
}

/// How a layer is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The instruction set. It also sets the lane width.
    pub variant: Variant,
    /// The cache sizes that the loop extents are computed from.
    pub caches: Caches,
    /// The fastest dot products that weights of int8 and pairs of bf16 may use, if the CPU has them. The default is any. Those
    /// of int8 all give the same bits.
    pub dots: Dots,
}

impl Planner {
    /// A planner for this machine: its caches, and either all its instruction sets or the one that [`ISA_VARIABLE`]
    /// forces.
    ///
    /// # Errors
    /// [`Error::UnknownIsa`] if the variable names an instruction set that is not available.
    pub fn from_env() -> Result<Planner, Error> {
        let caches = detect_caches();
        match std::env::var_os(ISA_VARIABLE).filter(|name| !name.is_empty()) {
            None => Ok(Planner { variants: Variant::available().collect(), caches }),
            Some(name) => Planner::for_isa(&name.to_string_lossy()),
        }
    }

    /// A planner for this machine and one instruction set, by its name in upper or lower case.
    ///
    /// # Errors
    /// [`Error::UnknownIsa`] if this instruction set is not available.
    pub fn for_isa(name: &str) -> Result<Planner, Error> {
        let variant = Variant::by_name(name).ok_or_else(|| Error::UnknownIsa {
            name: name.to_owned(),
            available: Variant::available().map(Variant::name).collect(),
        })?;
        Ok(Planner { variants: vec![variant], caches: detect_caches() })
    }

    /// The widest instruction set of the planner.
    pub fn widest(&self) -> Variant {
        self.variants[0]
    }

    /// The plan for a layer. It takes the instruction set with the fewest panels, and of several such sets the
    /// narrowest. For example, H = 8 is one panel of 8 lanes and also one of 16. A panel costs about the same on all
    /// instruction sets. The plan never takes a variant whose results would have other bits than those of the widest
    /// one.
    pub fn plan(&self, cell: &Cell, shape: Shape) -> Plan {
        let widest = self.widest();
        let equal = self.variants.iter().copied().filter(|v| v.is_fused() == widest.is_fused());
        let cost = |v: &Variant| (rnnpack_kernels::weight_vectors(cell, *v, shape.hidden), v.lanes());
        Plan { caches: self.caches, ..Plan::on(equal.min_by_key(cost).unwrap_or(widest)) }
    }
}

impl Plan {
    /// A plan for this machine and a given variant.
    pub(crate) fn on(variant: Variant) -> Plan {
        Plan { variant, caches: detect_caches(), dots: Dots::Amx }
    }

    /// The bytes of R of one direction as it is packed, in whole panels. Every step reads them.
    pub fn recurrent_bytes(&self, cell: &Cell, hidden: usize, weights: WeightType) -> usize {
        let vectors = rnnpack_kernels::weight_vectors(cell, self.variant, hidden);
        let depth = hidden.checked_next_multiple_of(weights.group()).unwrap_or(hidden);
        let of_vector = depth.saturating_mul(self.variant.lanes() * weights.bytes());
        vectors.saturating_mul(of_vector)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} lanes, {} rows)", self.variant, self.variant.lanes(), self.variant.tile_rows())
    }
}

/// The cache sizes that this CPU reports, or [`Caches::UNKNOWN`].
fn detect_caches() -> Caches {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        use raw_cpuid::{CacheType, CpuId};
        let found = CpuId::new().get_cache_parameters().into_iter().flatten().find(|cache| {
            cache.level() == 2 && matches!(cache.cache_type(), CacheType::Data | CacheType::Unified)
        });
        found.map_or(Caches::UNKNOWN, |cache| Caches {
            l2: cache.sets() * cache.associativity() * cache.coherency_line_size(),
        })
    }
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
    Caches::UNKNOWN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Direction;

    #[test]
    fn small_layers_take_narrower_lanes_only_where_that_costs_no_panel() {
        let planner = Planner { variants: Variant::available().collect(), caches: Caches::UNKNOWN };
        let lanes = |hidden| {
            let shape = Shape { input: 1, hidden, direction: Direction::Forward };
            planner.plan(&Cell::lstm(), shape).variant.lanes()
        };
        let widest = planner.variants[0].lanes();
        for hidden in [widest / 2 + 1, widest, widest + 1, 100, 1024] {
            assert_eq!(lanes(hidden), widest, "H = {hidden}");
        }
        let fused = planner.variants.iter().filter(|v| v.is_fused() == planner.variants[0].is_fused());
        assert_eq!(lanes(1), fused.map(|v| v.lanes()).min().unwrap());
    }

    #[test]
    fn plans_for_equal_machines_are_equal() {
        let shape = Shape { input: 3, hidden: 20, direction: Direction::Reverse };
        let plan = |name| Planner::for_isa(name).unwrap().plan(&Cell::lstm(), shape);
        assert_eq!(plan("portable"), plan("portable"));
        assert_eq!(plan("portable").variant.name(), "portable");
    }

    #[test]
    fn the_bytes_of_a_step_are_those_of_whole_panels() {
        for variant in Variant::available() {
            let lanes = 21usize.div_ceil(variant.lanes()) * variant.lanes();
            // k is padded to whole groups.
            for (weights, of_k) in
                [(WeightType::F32, 21 * 4), (WeightType::Bf16Dot, 22 * 2), (WeightType::I8, 24)]
            {
                let bytes = Plan::on(variant).recurrent_bytes(&Cell::lstm(), 21, weights);
                assert_eq!(bytes, lanes * 4 * of_k, "{variant}, {weights:?}");
            }
        }
    }

    #[test]
    fn detected_caches_are_of_a_plausible_size() {
        let caches = detect_caches();
        assert!((64 << 10..=1 << 30).contains(&caches.l2), "{caches:?}");
    }
}
