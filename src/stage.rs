//! The staged compile cache, inside of the pod: restored before the engine starts, published once it is ready and quiet.
//!
//! ```text
//!                 archive ─▶ restore ─▶ handover ─▶ the engine works ─▶ ready, quiet ─▶ publish ─▶ archive
//! claim (layout) ───▲           ▲           ▲               │                 ▲             ▲        │
//!                generation, strikes      gate           listen            schedule    generation    ▼ claim
//! ```
//!
//! The pure parts get times and counts as arguments: `generation`, `gate::Wait`, `listen::Deaths`, `schedule`, the rules of
//! `archive`. Whatever may wait for the claim is on a thread of its own, which the end of the process does not wait for.

pub mod archive;
pub mod digest;
pub mod folder;
pub mod gate;
pub mod generation;
pub mod handover;
pub mod journal;
pub mod layout;
pub mod listen;
pub mod local;
pub mod node;
pub mod publish;
pub mod ready;
pub mod record;
pub mod restore;
pub mod schedule;
pub mod strikes;

mod life;

pub use life::run;
