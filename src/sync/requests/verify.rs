//! `verify`.

use serde_json::{Value as Json, json};

use super::Executor;
use crate::{
    error::{Error, Result},
    sync::{
        ports::{Asked, CutoverStore, LegacyStore, RenaissanceStore, VerifyStore},
        queue::HintQueue,
        verify::known,
    },
};

impl<L: LegacyStore, R: RenaissanceStore + VerifyStore + CutoverStore, Q: HintQueue> Executor<'_, L, R, Q> {
    /// Notes what is to be compared; it is begun at once, and goes on by itself.
    pub(super) async fn verify(&self, request: i64, asked: &Asked) -> Result<Json> {
        known(asked, self.entities)?;
        match self.store.begin_verify(request, asked).await? {
            Ok(run) => {
                self.verify.notify_one();
                Ok(json!({ "run": run }))
            }
            Err(other) => Err(Error::halt(format!(
                "a comparison (number {other}) is under way already; `biograph-bridge verify --attach` follows it"
            ))),
        }
    }
}
