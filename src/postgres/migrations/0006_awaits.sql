-- Deleted records that a record's sets still name, as parked.waits has them: they take no part, and the record is reconciled
-- again should one come back. Runs with search_path = biograph_bridge.

alter table link add awaits text[];
create index link_awaits on link using gin (awaits) where awaits is not null;
create index link_awaiting on link (renaissance_id) where awaits is not null;
