//! The fence in MongoDB: a daemon that is no longer the active one cannot write, whatever it believes.
//!
//! Some documents in the ledger's collection hold the epoch of the active daemon. Every transaction of the bridge writes one
//! of them on the condition that the epoch is its own. So a transaction that began before the epoch was raised meets a write
//! conflict, and one that begins later finds another epoch. Each session has a document of its own, or two transactions
//! of one daemon would be in each other's way.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use mongodb::{
    bson::{Document, doc},
    options::ReturnDocument,
};

use super::{
    connect::{Legacy, durable},
    error::{Class, Doing, class_of, translate},
    ledger::LEDGER,
};
use crate::error::{Error, Result};

/// How many documents there are; a session uses the one of its number, and of those there are fewer.
const POSTS: usize = 4;
/// How long raising the epoch waits for a transaction of a former daemon.
const RAISING: Duration = Duration::from_secs(5);
const DOING: Doing<'static> = Doing { what: "taking over from a former daemon", on: LEDGER, right: "readWrite" };

/// The epoch that this process writes in; 0 until it has taken one.
#[derive(Default)]
pub(super) struct Epoch(AtomicI64);

impl Epoch {
    /// The statement that, inside a transaction of this session, fails to match if another daemon has taken over.
    pub(super) fn statement(&self, session: usize) -> Document {
        doc! {
            "q": { "_id": post(session), "epoch": self.0.load(Ordering::Acquire) },
            "u": { "$inc": { "writes": 1_i64 } },
        }
    }
}

impl Legacy {
    /// Raises the fence to this epoch and writes in it from now on; nobody with an earlier one can write any more. Before this
    /// nothing can be written. Sessions of former runs must be ended first ([`Legacy::kill_sessions`]): this waits for
    /// their open transactions. A retry error if they do not end, or if a later epoch is found.
    pub async fn raise_fence(&self, epoch: i64) -> Result<()> {
        let posts = self.database.collection::<Document>(LEDGER);
        for number in 0..POSTS {
            let raised = posts
                .find_one_and_update(doc! { "_id": post(number) }, doc! { "$max": { "epoch": epoch } })
                .upsert(true)
                .return_document(ReturnDocument::After)
                .write_concern(durable())
                .max_time(RAISING)
                .await;
            let found = match raised {
                Ok(found) => found.and_then(|post| post.get_i64("epoch").ok()),
                Err(error) if matches!(class_of(&error), Some(Class::Contended | Class::Document(_))) => {
                    return Err(Error::retry("another daemon is taking over as well"));
                }
                Err(error) => return Err(translate(&error, DOING)),
            };
            if found != Some(epoch) {
                return Err(taken_over());
            }
        }
        self.epoch.0.store(epoch, Ordering::Release);
        Ok(())
    }
}

/// What a daemon hears that writes after another one has become active.
pub(super) fn taken_over() -> Error {
    Error::retry("another daemon has taken over: nothing was written")
}

fn post(number: usize) -> String {
    format!("fence {}", number % POSTS)
}
