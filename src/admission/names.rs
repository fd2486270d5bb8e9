//! The names of the containers that mode `staged` adds to a pod.

/// Brings the program.
pub const TOOL_CONTAINER: &str = "dynamo-cache-tool";

/// Restores the local disk, and publishes it.
pub const STAGE_CONTAINER: &str = "dynamo-cache-stage";

/// Lets the engine go once the local disk is restored.
pub const GATE_CONTAINER: &str = "dynamo-cache-gate";

/// All of them, in their order.
pub const CONTAINERS: [&str; 3] = [TOOL_CONTAINER, STAGE_CONTAINER, GATE_CONTAINER];
