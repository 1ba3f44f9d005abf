//! A source of random numbers that are the same in every run.

/// A reproducible stream of numbers (SplitMix64).
pub struct Numbers(pub u64);

impl Numbers {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// Uniform in ±1.
    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| uniform(self.bits())).collect()
    }

    /// Uniform in ±`scale`; one in sixteen is a zero of either sign, a subnormal or `scale` itself.
    pub fn scaled(&mut self, count: usize, scale: f32) -> Vec<f32> {
        let special = [0.0, -0.0, 1e-41, -1e-41, scale];
        (0..count)
            .map(|_| match self.bits() {
                bits if bits.is_multiple_of(16) => special[(bits >> 8) as usize % special.len()],
                bits => uniform(bits) * scale,
            })
            .collect()
    }
}

/// A number in ±1, from the upper bits.
fn uniform(bits: u64) -> f32 {
    (bits >> 40) as f32 / (1 << 23) as f32 - 1.0
}
