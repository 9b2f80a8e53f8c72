-- Who is whose friend: the rows for BioGraph's `friends` array of a person. A friendship that
-- BioGraph lists on both people is two rows here.
--
-- Optional: without this table the bridge leaves the field off, and `biograph-bridge check` says so. To install, as the role
-- that owns "users" (the one Django migrates with); running it again changes nothing:
--
--     psql "$RENAISSANCE_URL" --single-transaction --file deploy/renaissance/friendships.sql
--
-- A role of its own for the bridge needs: GRANT SELECT, INSERT, UPDATE, DELETE ON "friendships" TO that role. Then restart the
-- bridge and, where people have been copied already, run: biograph-bridge backfill --entity user --restart
--
-- Django knows nothing of these rows when it deletes a person, so that here, other than in its own tables, the database
-- cascades. The foreign keys are deferred as Django's are: people and rows may be inserted in any order.

CREATE TABLE IF NOT EXISTS "friendships" (
    "user_id" bigint NOT NULL
        REFERENCES "users" ("id") ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    "friend_id" bigint NOT NULL
        REFERENCES "users" ("id") ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY ("user_id", "friend_id")
);
CREATE INDEX IF NOT EXISTS "friendships_friend_id" ON "friendships" ("friend_id");
