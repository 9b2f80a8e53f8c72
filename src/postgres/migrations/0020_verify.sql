-- Comparing under live traffic. Runs with search_path = biograph_bridge.

-- outcome: null while it is due; complete, or why it stopped.
create table verify_run (
    id bigint generated always as identity primary key,
    request bigint unique, -- the request that asked for it; null in the background
    asked jsonb not null, -- entities, person, percent, repair, dry_run, by
    background boolean not null default false,
    begun_at timestamptz not null default now(),
    ended_at timestamptz,
    outcome text
);
create index verify_run_due on verify_run (id) where ended_at is null;

-- How far it has come, and what it has found there: documents, then the rows without one, then links of neither.
create table verify_progress (
    run bigint not null references verify_run (id) on delete cascade,
    entity text not null,
    part text not null check (part in ('documents', 'rows', 'links', 'person')),
    after text,
    done boolean not null default false,
    total bigint,
    compared bigint not null default 0,
    equal bigint not null default 0,
    differing bigint not null default 0,
    repaired bigint not null default 0,
    unsettled bigint not null default 0,
    parked bigint not null default 0,
    paused bigint not null default 0,
    primary key (run, entity, part)
);

-- state: candidate (may be about to be settled), differs, unsettled, repaired, parked. what: fields, missing_in_legacy,
-- missing_in_renaissance, not_linked, not_named, gone. fields: [{"field", "moved"}]; names, no values.
create table verify_difference (
    id bigint generated always as identity primary key,
    run bigint not null references verify_run (id) on delete cascade,
    entity text not null,
    part text not null,
    legacy_id text,
    renaissance_id bigint,
    state text not null,
    rounds integer not null default 0,
    what text,
    moved text,
    fields jsonb,
    writes text[], -- the sides that repairing writes
    at timestamptz not null default now()
);
create index verify_difference_run on verify_difference (run, entity, state, id);
