//! Parses an argument that says how long to time something.

use anyhow::{Result, bail};

pub(crate) fn parse_seconds(s: &str) -> Result<f64> {
    match s.parse::<f64>() {
        Ok(x) if x > 0.0 && x <= 3600.0 => Ok(x),
        _ => bail!("give a number of seconds above 0, at most 3600"),
    }
}
