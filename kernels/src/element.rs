//! The numbers that weights and sequences consist of.

/// A number that weights and sequences consist of: f32 or f64. Nothing else implements it.
pub trait Element:
    sealed::Sealed + Copy + Default + PartialEq + Send + Sync + core::fmt::Debug + 'static
{
    /// Neither NaN nor infinite.
    fn is_finite(self) -> bool;
}

mod sealed {
    /// Implemented here alone.
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
