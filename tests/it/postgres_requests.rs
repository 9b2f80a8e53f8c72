//! Commands ask, a daemon answers, through a real server.

use std::{collections::BTreeSet, time::Duration};

use biograph_bridge::{
    postgres::{
        lease::{self, Lease},
        request::{self, Inbox},
        setup,
    },
    sync::requests::Inbox as _,
};
use serde_json::json;

use crate::postgres_fixture::fixture;

#[tokio::test]
async fn a_request_is_heard_answered_once_and_can_be_withdrawn_before() {
    let on = fixture(Default::default()).await;
    setup::upgrade(&on.pool).await.unwrap();
    let mut inbox = Inbox::new(&on.pool);
    let (asked, heard) = tokio::join!(
        async {
            // the daemon is already waiting
            tokio::time::sleep(Duration::from_millis(100)).await;
            request::submit(&on.pool, "backfill", &json!({"entity": "user"})).await.unwrap()
        },
        async { tokio::time::timeout(Duration::from_secs(1), inbox.next(&BTreeSet::new())).await.unwrap().unwrap() },
    );
    let found = heard.first().unwrap();
    assert_eq!((found.id, found.command.as_str(), &found.arguments), (asked, "backfill", &json!({"entity": "user"})));
    assert_eq!(request::outcome(&on.pool, asked).await.unwrap(), None);
    let later = request::submit(&on.pool, "explain", &json!({})).await.unwrap();
    let others: Vec<i64> = inbox.next(&BTreeSet::from([asked])).await.unwrap().iter().map(|other| other.id).collect();
    assert_eq!(others, [later], "what is under way does not come again");
    assert!(request::withdraw(&on.pool, later).await.unwrap());

    let (outcome, finished) = tokio::join!(request::wait(&on.pool, asked, Duration::from_secs(5)), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        request::finish(&on.pool, asked, &json!({"done": 3})).await.unwrap()
    });
    assert_eq!((outcome.unwrap(), finished), (Some(json!({"done": 3})), true));
    assert!(!request::finish(&on.pool, asked, &json!("again")).await.unwrap(), "the first outcome stays");
    assert!(!request::withdraw(&on.pool, asked).await.unwrap());

    let begun = request::submit(&on.pool, "cutover_batch", &json!({})).await.unwrap();
    let mut beginning = on.pool.begin().await.unwrap();
    let begins = sqlx::query("UPDATE biograph_bridge.request SET begun_at = now() WHERE id = $1").bind(begun);
    begins.execute(&mut *beginning).await.unwrap();
    let (withdrawn, ()) = tokio::join!(request::withdraw(&on.pool, begun), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        beginning.commit().await.unwrap();
    });
    assert!(!withdrawn.unwrap(), "what begins meanwhile is not withdrawn");
    assert!(request::finish(&on.pool, begun, &json!("begun")).await.unwrap());

    let never = request::submit(&on.pool, "backfill", &json!({})).await.unwrap();
    assert_eq!(request::wait(&on.pool, never, Duration::from_millis(50)).await.unwrap(), None);
    assert_eq!(request::open(&on.pool).await.unwrap().len(), 1);
    assert!(request::withdraw(&on.pool, never).await.unwrap());
    assert_eq!(request::open(&on.pool).await.unwrap(), []);
    assert!(!request::finish(&on.pool, never, &json!("too late")).await.unwrap());
}

#[tokio::test]
async fn commands_see_whether_a_daemon_is_active() {
    let on = fixture(Default::default()).await;
    assert!(!lease::is_held(&on.pool).await.unwrap());
    let held = Lease::acquire(&on.pool).await.unwrap().unwrap();
    assert!(lease::is_held(&on.pool).await.unwrap());
    held.release().await;
    assert!(!lease::is_held(&on.pool).await.unwrap());
}
