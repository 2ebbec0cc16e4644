//! Decides what a scenario file says, and how it runs: TOML in, rows and a summary out.
