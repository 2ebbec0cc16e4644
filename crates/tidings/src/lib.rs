//! Decides nothing yet.
