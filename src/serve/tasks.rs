//! The concurrent tasks of the webhook, each with a name and an owner.

use std::collections::HashMap;

use tokio::task::{Id, JoinSet};

/// The running tasks. Dropping them aborts all.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    /// Starts a task.
    pub(super) fn start(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.tasks.spawn(task);
        self.names.insert(handle.id(), name);
    }

    /// The name of the next task that ends, also by a panic. `None` if there are no more tasks.
    pub(super) async fn next_ended(&mut self) -> Option<&'static str> {
        let id = match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => id,
            Err(error) => error.id(),
        };
        self.names.remove(&id)
    }

    /// Aborts all tasks.
    pub(super) async fn shut_down(&mut self) {
        self.tasks.shutdown().await;
    }
}
