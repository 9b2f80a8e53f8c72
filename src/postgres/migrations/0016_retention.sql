-- Forgetting what deleted records held. Runs with search_path = biograph_bridge.

-- The tombstone itself stays: by it one knows that the record is not yet to come.
create index tombstone_kept on tombstone (at) where record <> 'null'::jsonb;
