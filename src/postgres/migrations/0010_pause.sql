-- What must not be written for now. Runs with search_path = biograph_bridge.

-- No direction, entity or person: all of them. missing_on: the side on which records may be gone without having been deleted one
-- by one; who ends the pause says what is to become of them. walked: how far the links have been looked at for that.
create table pause (
    id bigint generated always as identity primary key,
    direction text,
    entity text,
    person text,
    cause text not null,
    detail text not null,
    missing_on text,
    event text, -- what the change log calls the event, so that one that comes twice counts once
    since timestamptz not null default now(),
    who text,
    reason text,
    deletions text check (deletions in ('apply', 'restore')),
    walked text,
    ended_at timestamptz,
    ended_by text,
    ended_reason text
);
create unique index pause_scope on pause (coalesce(direction, ''), coalesce(entity, ''), coalesce(person, ''), cause)
    where ended_at is null;

-- Which pause a parked key waits for: it comes back when that has ended.
alter table parked add pause bigint;
create index parked_pause on parked (pause, id) where pause is not null;

-- What a collection or the tables of an entity were when they were last known to be in order; another one under the same name
-- is no reason to delete anything.
create table structure (
    entity text not null,
    side text not null,
    identity text not null,
    primary key (entity, side)
);
