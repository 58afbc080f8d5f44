//! Tasks that run as long as the sidecar does, and which of them have panicked.
//!
//! Nobody waits for such a task, so nobody would notice its end.

use std::sync::{Mutex, PoisonError};

use tokio::task::JoinSet;

/// The tasks that have panicked since the start.
#[derive(Debug, Default)]
pub struct Tasks(Mutex<Vec<&'static str>>);

impl Tasks {
    /// Runs a task to its end, and remembers its name where it panics. Dropped, it ends the task.
    pub async fn run(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let mut alone = JoinSet::new();
        alone.spawn(task);
        let Some(Err(fault)) = alone.join_next().await else { return };
        if fault.is_panic() {
            tracing::error!(
                task = name,
                "a background task has panicked, and does not run until a restart"
            );
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        }
    }

    /// Which have panicked.
    #[must_use]
    pub fn panicked(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;
    use std::sync::Arc;

    use super::*;

    async fn broken() {
        resume_unwind(Box::new("on purpose"))
    }

    #[tokio::test]
    async fn a_task_that_panics_is_remembered_and_one_that_is_dropped_ends() {
        let tasks = Tasks::default();
        tasks.run("well", async {}).await;
        assert!(tasks.panicked().is_empty());
        tasks.run("ill", broken()).await;
        assert_eq!(tasks.panicked(), ["ill"]);
        let alive = Arc::new(());
        let inside = Arc::clone(&alive);
        let never = async move {
            let _inside = inside;
            std::future::pending::<()>().await;
        };
        let mut all = JoinSet::new();
        all.spawn(async move { Tasks::default().run("endless", never).await });
        tokio::task::yield_now().await;
        all.shutdown().await;
        while Arc::strong_count(&alive) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
