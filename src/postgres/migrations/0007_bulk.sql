-- What a first copy of millions costs less with. Runs with search_path = biograph_bridge.

-- Field lists are never deleted, and asking for one once more with every link took as long as writing the link.
alter table link drop constraint link_shape_fkey;

-- Whether anybody waits at all.
create index parked_waiting on parked (reason) where waits <> '{}';
