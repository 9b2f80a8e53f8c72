//! What a standby sees to while another daemon is active: that it could take over. Of Postgres it hears whenever it asks for the
//! lease; MongoDB it asks here, or a wrong password would show only when nobody is left.

use std::{convert::Infallible, sync::Arc, time::Duration};

use crate::{config::Databases, error::Result, mongo::Legacy, retry::Failures, sync::status::Status};

/// How often MongoDB is asked.
const EVERY: Duration = Duration::from_secs(15);
/// The name under which it is shown that MongoDB does not answer.
const LOOKING: &str = "a standby's look at legacy";

/// Asks MongoDB now and then, and shows what keeps it from answering, until dropped.
pub(super) async fn watch_legacy(databases: &Databases, status: &Status) -> Infallible {
    let mut failures = Failures::default();
    loop {
        match ask(databases).await {
            Ok(()) => {
                failures.succeeded(LOOKING);
                status.recovered(LOOKING);
            }
            Err(error) => {
                status.failed(LOOKING, &error);
                failures.failed(LOOKING, &error);
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Shows nothing of it any more: whoever has become active says itself what it meets.
pub(super) fn forget(status: &Status) {
    status.recovered(LOOKING);
}

async fn ask(databases: &Databases) -> Result<()> {
    Legacy::connect(databases.legacy_uri.expose(), Arc::default()).await?.ping().await
}
