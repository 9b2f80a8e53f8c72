-- What the bridge may do in Renaissance, and what only the owner of the tables can prepare for it. Once, before `init`, as a
-- superuser or, from Postgres 16 on, as the owner of the database and its tables with CREATEROLE and REPLICATION:
--   psql -v ON_ERROR_STOP=1 -d renaissance -f rights.sql
-- then give the role its password: \password bridge
-- Operators' commands run with the daemon's settings, so with this role. Adapt names; `biograph-bridge check` prints what is missing.

-- All of it or nothing, up to the indexes.
BEGIN;

-- REPLICATION: it reads the log through a slot.
CREATE ROLE bridge LOGIN REPLICATION;

-- The mapped tables and no others.
GRANT USAGE ON SCHEMA public TO bridge;
GRANT SELECT, INSERT, UPDATE, DELETE ON users, user_profiles, biographs, co_authors, books, notifications, recorded_times, subscriptions TO bridge;
-- With friends and subscribers (renaissance/): rights-friends.sql besides.

-- Its state. Only a member of a role, or a superuser, may give it something.
GRANT bridge TO CURRENT_USER;
CREATE SCHEMA biograph_bridge AUTHORIZATION bridge;
REVOKE bridge FROM CURRENT_USER;

-- Deletions of profiles tell whose they were.
ALTER TABLE user_profiles REPLICA IDENTITY USING INDEX user_profiles_user_id_key;

-- What the log tells the bridge: keys only.
CREATE PUBLICATION biograph_bridge FOR TABLE user_profiles (id, user_id), users (id), biographs (id), co_authors (id), books (id), notifications (id), recorded_times (id), subscriptions (id) WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true);

COMMIT;

-- Rows are found by the id that their document has.
CREATE INDEX CONCURRENTLY biograph_bridge_users_old_user_id ON users (old_user_id) WHERE old_user_id IS NOT NULL;
CREATE INDEX CONCURRENTLY biograph_bridge_biographs_old_biograph_id ON biographs (old_biograph_id) WHERE old_biograph_id IS NOT NULL;
CREATE INDEX CONCURRENTLY biograph_bridge_co_authors_old_coauthor_id ON co_authors (old_coauthor_id) WHERE old_coauthor_id IS NOT NULL;
CREATE INDEX CONCURRENTLY biograph_bridge_books_old_book_id ON books (old_book_id) WHERE old_book_id IS NOT NULL;
CREATE INDEX CONCURRENTLY biograph_bridge_notifications_old_notification_id ON notifications (old_notification_id) WHERE old_notification_id IS NOT NULL;
CREATE INDEX CONCURRENTLY biograph_bridge_recorded_times_old_recorded_time_id ON recorded_times (old_recorded_time_id) WHERE old_recorded_time_id IS NOT NULL;
CREATE INDEX CONCURRENTLY biograph_bridge_subscriptions_old_subscription_id ON subscriptions (old_subscription_id) WHERE old_subscription_id IS NOT NULL;
