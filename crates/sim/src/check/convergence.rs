//! Rule 6: once faults stop, every live member's state becomes equal within the bound that `plan`
//! prints, and stays so.

use std::time::Duration;

use crate::check::ProbeLoop;
use crate::check::equal::equal_fingerprints;
use crate::world::World;

/// How long it took until all were equal for good, beside the bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Healed {
    pub took: Duration,
    pub bound: Duration,
}

impl Healed {
    /// The share of the bound that was needed.
    pub fn share(&self) -> f64 {
        self.took.as_secs_f64() / self.bound.as_secs_f64().max(1e-9)
    }
}

/// Runs a world without faults until all are equal and have been for `calm`; looks every `every`.
/// Rules that hold at any moment are checked all the while.
pub fn becomes_equal(
    world: &mut World,
    bound: Duration,
    every: Duration,
    calm: Duration,
) -> Result<Healed, String> {
    let (start, mut probing) = (world.now(), ProbeLoop::default());
    let mut equal_since = None;
    loop {
        probing.check(world)?;
        let now = world.now();
        if is_equal(world) {
            let since = *equal_since.get_or_insert(now);
            if now.since(since) >= calm {
                let took = since.since(start);
                world.check_quiet()?;
                return Ok(Healed { took, bound });
            }
        } else {
            equal_since = None;
        }
        if equal_since.is_none() && now.since(start) > bound {
            return Err(unequal(world, bound));
        }
        world.run_for(every);
    }
}

fn is_equal(world: &World) -> bool {
    world.all_see_their_own() && equal_fingerprints(world) && world.check_quiet().is_ok()
}

/// What is still wrong at the end.
fn unequal(world: &World, bound: Duration) -> String {
    if let Err(found) = world.check_quiet() {
        let rule = found.split(':').next().unwrap_or_default();
        // Unequal states are what this rule is about; other rules speak for themselves.
        if rule != "rule 1" {
            return found;
        }
        return format!("rule 6: not equal within {bound:?}: {found}");
    }
    let counts: Vec<_> = world.members().map(|h| world.view(h).counts()).collect();
    let live = world.members().count();
    format!("rule 6: not equal within {bound:?}: {live} live, seen as {counts:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::joined;
    use crate::world::WorldConfig;
    use tidings_proto::Config;

    /// Mutation: a split that does not end.
    #[test]
    fn a_world_that_does_not_become_equal_is_found() {
        let ms = Duration::from_millis;
        let mut world = joined(1, WorldConfig::default(), 4, &Config::local());
        world.set(3, "k", "v");
        let healed = becomes_equal(&mut world, ms(5000), ms(50), ms(1000)).expect("all is well");
        assert!(healed.took > Duration::ZERO && healed.share() < 0.5, "{healed:?}");
        world.split_off([0]);
        let found = becomes_equal(&mut world, ms(30_000), ms(50), ms(15_000)).unwrap_err();
        assert!(found.starts_with("rule 6: not equal within 30s"), "{found}");
    }
}
