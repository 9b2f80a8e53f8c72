-- People who are born in Renaissance, and how long a move may take. Runs with search_path = biograph_bridge.

-- Whoever was born there has a cutover row, which says so; those from before get theirs when a daemon starts, which finds them here.
create index link_born on link (entity, legacy_id) where born_in_renaissance;

-- How long the move may take beyond the time to drain: whoever goes on with it keeps to that. null: nothing was said.
alter table cutover_history add timeout_ms bigint;
