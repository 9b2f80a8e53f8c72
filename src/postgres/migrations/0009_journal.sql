-- What a decision in the journal was made under. Runs with search_path = biograph_bridge.

alter table conflict
    add mapping integer, -- the shape: under which field list of the mapping
    add legacy_position text, -- how far each side was known to be durable
    add renaissance_position text,
    add legacy_updated_at timestamptz, -- when each side says that it was updated, where that decided: their difference is the skew
    add renaissance_updated_at timestamptz;
