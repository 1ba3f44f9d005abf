//! The element type of weights and sequences.

/// The element type of weights and sequences: f32 or f64. The trait is sealed.
pub trait Element:
    sealed::Sealed + Copy + Default + PartialEq + Send + Sync + core::fmt::Debug + 'static
{
    /// Whether the number is neither NaN nor infinite.
    fn is_finite(self) -> bool;
}

mod sealed {
    /// Implemented only here.
    pub trait Sealed {}

    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Element for f32 {
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
}

impl Element for f64 {
    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }
}
