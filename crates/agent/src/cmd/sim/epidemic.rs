//! Decides what `tidings sim epidemic` takes and prints.

use crate::Failure;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {}

pub(crate) fn run(_flags: &Flags) -> Result<(), Failure> {
    Err(Failure::Failed("not built yet".to_owned()))
}
