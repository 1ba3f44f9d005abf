//! Another static library of Rust, for a program that links both. It catches a panic.

/// The sum of the numbers below n; 0 for more than a hundred.
#[unsafe(no_mangle)]
pub extern "C" fn other_sum(n: u32) -> u32 {
    let sum = || {
        let numbers: Vec<u32> = (0..n).collect();
        assert!(n <= 100, "this panic is caught");
        numbers.iter().sum()
    };
    std::panic::catch_unwind(sum).unwrap_or(0)
}
