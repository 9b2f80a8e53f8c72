-- Lost positions and what healed them, and which databases this is the state of. Runs with search_path = biograph_bridge.

-- One row per lost position. Written with the new position in one transaction; the sweep is due until ended_at is set.
create table healing (
    id bigint generated always as identity primary key,
    side text not null check (side in ('legacy', 'renaissance')),
    cause text not null,
    old_position text,
    new_position text not null,
    in_a_row integer not null, -- how many since the position last moved on by itself, this one included
    forget_bases boolean not null default false, -- whether what both sides agreed on no longer counts
    forgotten boolean not null default false, -- whether it is forgotten by now
    begun_at timestamptz not null default now(),
    ended_at timestamptz,
    changed bigint -- records that the sweep wrote
);
create index healing_due on healing (id) where ended_at is null;

-- The servers behind the two addresses. mark: counts up with the saved positions, in both databases: one that is behind was
-- put back to an earlier state.
create table identity (
    side text primary key check (side in ('legacy', 'renaissance')),
    id text not null,
    place text not null, -- its address, without secrets
    mark bigint not null default 0,
    since timestamptz not null default now()
);
