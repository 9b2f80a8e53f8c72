-- Deciding by hand what the journal holds, and putting back what was deleted. Runs with search_path = biograph_bridge.

alter table conflict
    add person text, -- whose record it is
    add mapping_digest text, -- of the mapping file, whose field list is named by mapping
    add legacy_digest bigint, -- of the values: what is shown as JSON may have lost its type
    add renaissance_digest bigint,
    add resolved_by text, -- null if it resolved itself: the sides agree again, or the record ended
    add taken text, -- legacy, renaissance, value
    add resolved_request bigint,
    add resolution uuid; -- the intent of a document that is yet to be written for it
create index conflict_at on conflict (at);
create index conflict_open on conflict (entity, legacy_id) where winner is null and resolved_at is null;
create index conflict_resolution on conflict (resolution) where resolution is not null;

alter table tombstone
    add person text,
    add restored_at timestamptz,
    add restored_by text;
create index tombstone_at on tombstone (at);
