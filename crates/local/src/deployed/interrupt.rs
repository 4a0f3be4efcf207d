//! Ctrl-C, which ends the waiting for AWS and lets what was begun be put in order.

use std::cell::OnceCell;
use tokio::sync::watch;

/// Whether Ctrl-C has come. Before the first question Ctrl-C ends the process.
#[derive(Default)]
pub(super) struct Interrupt(OnceCell<watch::Receiver<bool>>);

impl Interrupt {
    /// Waits for Ctrl-C, or returns at once if it has come.
    pub(super) async fn comes(&self) {
        let mut has_come = self.0.get_or_init(listen).clone();
        // The sender is gone where signals cannot be received.
        if has_come.wait_for(|has_come| *has_come).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn has_come(&self) -> bool {
        self.0.get().is_some_and(|has_come| *has_come.borrow())
    }
}

fn listen() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            sender.send_replace(true);
        }
    });
    receiver
}
