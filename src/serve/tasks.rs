//! The parts that run side by side, each a task with a name and an owner.

use std::collections::HashMap;

use tokio::task::{Id, JoinSet};

/// The parts that run. Dropped, they are aborted.
#[derive(Debug, Default)]
pub(super) struct Parts {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Parts {
    /// Starts a part.
    pub(super) fn start(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(part);
        self.names.insert(task.id(), name);
    }

    /// The name of the next part that ends, be it by a panic; none where none is left.
    pub(super) async fn ended(&mut self) -> Option<&'static str> {
        let id = match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => id,
            Err(error) => error.id(),
        };
        self.names.remove(&id)
    }

    /// Ends all parts where they are.
    pub(super) async fn end(&mut self) {
        self.tasks.shutdown().await;
    }
}
