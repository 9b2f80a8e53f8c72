-- The same for the tables of friends and subscribers, after rights.sql, where they exist (renaissance/friendships.sql,
-- renaissance/subscribers.sql).
GRANT SELECT, INSERT, UPDATE, DELETE ON friendships, subscribers TO bridge;
ALTER PUBLICATION biograph_bridge ADD TABLE friendships (friend_id, user_id), subscribers (subscriber_id, user_id);
