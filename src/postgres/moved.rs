//! Hearing of changed cutover rows.

use sqlx::{PgPool, postgres::PgListener};

use super::fault::during;
use crate::{
    error::Result,
    sync::directory::{self, Noticed},
};

/// Where changes are told: the trigger of migration 22 names it too.
const CHANNEL: &str = "biograph_bridge_cutover";
const LISTENING: &str = "listening for people who move";

/// The daemon's ear for people who move. Holds one session of the pool once it listens.
pub struct News {
    pool: PgPool,
    open: Option<PgListener>,
}

impl News {
    /// Listens from the first question on.
    pub fn new(pool: &PgPool) -> Self {
        Self { pool: pool.clone(), open: None }
    }
}

impl directory::News for News {
    async fn next(&mut self) -> Result<Noticed> {
        let Some(open) = &mut self.open else {
            let mut open = PgListener::connect_with(&self.pool).await.map_err(during(LISTENING))?;
            open.listen(CHANNEL).await.map_err(during(LISTENING))?;
            self.open = Some(open);
            // what happened before nobody has heard
            return Ok(Noticed::Missed);
        };
        // nothing: the connection was lost, and is made anew
        match open.try_recv().await.map_err(during(LISTENING))? {
            Some(told) => Ok(told.payload().parse().map_or(Noticed::Missed, Noticed::Person)),
            None => Ok(Noticed::Missed),
        }
    }
}
