//! Decides how bytes become frames: a bounded codec, packets with a checksum, and the registry of
//! frame kinds. It knows kind, length and bytes only; each part owns its messages.

pub mod codec;
pub mod frame;
pub mod packet;
