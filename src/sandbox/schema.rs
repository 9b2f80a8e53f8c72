//! The Renaissance tables, empty, as the new application's migrations and the bridge's own DDL make them.

use super::{PostgresServer, SandboxError};

/// Every table of Renaissance with its constraints and indexes; for an empty database.
pub const RENAISSANCE_SQL: &str = concat!(
    include_str!("renaissance.sql"),
    include_str!("../../deploy/renaissance/friendships.sql"),
    include_str!("../../deploy/renaissance/subscribers.sql")
);

impl PostgresServer {
    /// Makes a database with the empty Renaissance tables and gives its connection string.
    pub async fn create_renaissance(&self, name: &str) -> Result<String, SandboxError> {
        let url = self.create_database(name).await?;
        self.execute(name, RENAISSANCE_SQL).await?;
        Ok(url)
    }
}
