//! The mirror of who is where, in MongoDB: it follows the rows and never goes back, whoever writes it and however late.

use biograph_bridge::{
    model::{cutover::CutoverRow, side::Side},
    sync::ports::{CutoverMirror, Standing},
};
use mongodb::bson::{Document, doc};

use crate::mongo_support::{World, id, oid};

#[tokio::test]
async fn a_mirror_never_goes_back_to_an_earlier_epoch() {
    let world = World::new().await;
    let mirrors = world.application.default_database().unwrap().collection::<Document>("biograph_bridge_cutover");
    let says = async || {
        let mirror = mirrors.find_one(doc! { "_id": oid(1) }).await.unwrap().unwrap();
        (mirror.get_str("state").unwrap().to_owned(), mirror.get_i64("epoch").unwrap())
    };
    let standing = |row| Standing { person: id(1), renaissance: Some(7), row, since: 0 };
    let draining = CutoverRow::UNMOVED.draining(Side::Renaissance).unwrap();
    let moved = CutoverRow { epoch: 2, ..CutoverRow::BORN_IN_RENAISSANCE };

    assert_eq!(world.legacy.mirror(&standing(draining)).await.unwrap(), 1);
    assert_eq!(says().await, ("draining".to_owned(), 1));
    assert_eq!(world.legacy.mirror(&standing(moved)).await.unwrap(), 2);
    // a daemon that was held up, and another one that writes the same again
    assert_eq!(world.legacy.mirror(&standing(draining)).await.unwrap(), 2, "it says where the mirror is");
    assert_eq!(world.legacy.mirror(&standing(moved)).await.unwrap(), 2);
    assert_eq!(says().await, ("renaissance".to_owned(), 2));
    assert_eq!(world.legacy.mirrored(&[id(1), id(2)]).await.unwrap(), [(id(1), 2)]);
    assert_eq!(mirrors.count_documents(doc! {}).await.unwrap(), 1);
}
