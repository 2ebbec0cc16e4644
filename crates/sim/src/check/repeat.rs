//! Rule 9: same seed, same trace. Decides whether two runs of one scenario were one.

/// Two runs of one scenario, by the hashes of all that happened.
pub fn same_trace(first: u128, second: u128) -> Result<(), String> {
    if first == second {
        return Ok(());
    }
    Err(format!("rule 9: two runs differ: trace {first:032x} and {second:032x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::joined;
    use crate::world::WorldConfig;
    use std::time::Duration;
    use tidings_proto::Config;

    /// Mutation: one run is told something else.
    #[test]
    fn a_run_that_differs_is_found() {
        let run = |value: &str| {
            let mut world = joined(1, WorldConfig::default(), 3, &Config::local());
            world.set(0, "k", value);
            world.run_for(Duration::from_secs(1));
            world.trace_hash()
        };
        assert_eq!(same_trace(run("v"), run("v")), Ok(()));
        let found = same_trace(run("v"), run("w")).unwrap_err();
        assert!(found.starts_with("rule 9: two runs differ"), "{found}");
    }
}
