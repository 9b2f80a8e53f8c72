-- Whom a parked record belongs to that has no link to say so. Runs with search_path = biograph_bridge.

-- The legacy id of the person; null for a person, and where that is unknown.
alter table parked add person text;
create index parked_person on parked (person) where person is not null;
