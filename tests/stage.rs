//! Promises about the staged compile cache: the stage and the gate on real files, without a cluster. Some need root, to mount.

mod claim;
mod damaged_claims;
mod engine;
mod failing_disks;
mod full_disks;
mod hanging_claim;
mod healing;
mod hostile_archives;
mod kills;
mod life;
mod mount;
mod ninja;
mod pod;
mod publishers;
mod trees;
