//! A slow-down of known size, to test `compare`: this program can also be a program under test.

use anyhow::{Context, Result, ensure};

/// The value of RNNPACK_PLANTED_SLOWDOWN when this program was compiled: the name of a case, and by how many per cent
/// the program slows it down.
const PLANTED: Option<&str> = option_env!("RNNPACK_PLANTED_SLOWDOWN");

/// The factor that the planted slow-down puts on the time of `case`.
pub(crate) fn factor(case: &str) -> Result<f64> {
    PLANTED.map_or(Ok(1.0), |planted| factor_of(planted, case))
}

fn factor_of(planted: &str, case: &str) -> Result<f64> {
    let wrong = "RNNPACK_PLANTED_SLOWDOWN was not CASE=PERCENT";
    let (name, percent) = planted.rsplit_once('=').context(wrong)?;
    let percent: f64 = percent.parse().context(wrong)?;
    ensure!(rnnpack_cli::perf::names().iter().any(|known| known == name), "no case is named {name}");
    Ok(if case == name { 1.0 + percent / 100.0 } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_down_is_planted_in_its_case_alone() {
        let names = rnnpack_cli::perf::names();
        let planted = format!("{}=5", names[1]);
        assert_eq!(factor_of(&planted, &names[1]).unwrap(), 1.05);
        assert_eq!(factor_of(&planted, &names[0]).unwrap(), 1.0);
        for wrong in ["warp=5", &names[0], &format!("{}=five", names[0])] {
            assert!(factor_of(wrong, &names[0]).is_err(), "{wrong}");
        }
    }
}
