-- People who move together. Runs with search_path = biograph_bridge.

-- why: what stopped it by itself. watched_since, forgiven: what happened before it was begun or resumed is not held against it.
create table cutover_batch (
    id bigint generated always as identity primary key,
    toward text not null check (toward in ('legacy', 'renaissance')),
    chosen text not null,
    state text not null default 'running' check (state in ('running', 'paused', 'stopped', 'ended')),
    why text,
    concurrency integer not null,
    max_failures bigint not null,
    max_parked bigint not null,
    max_conflicts bigint not null,
    max_lag_ms bigint not null,
    timeout_ms bigint,
    who text,
    reason text,
    request bigint unique, -- the request that asked for it
    begun_at timestamptz not null default clock_timestamp(),
    watched_since timestamptz not null default clock_timestamp(),
    forgiven bigint not null default 0,
    ended_at timestamptz
);

-- outcome: null until it is known. findings: what was in the way or differs; names and ids, no values.
create table cutover_member (
    batch bigint not null references cutover_batch,
    legacy_id text not null,
    outcome text,
    findings jsonb,
    at timestamptz,
    primary key (batch, legacy_id)
);
create unique index cutover_member_open on cutover_member (legacy_id) where outcome is null;
create index cutover_member_waiting on cutover_member (batch, legacy_id) where outcome is null;
