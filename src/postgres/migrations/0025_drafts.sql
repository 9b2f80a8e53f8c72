-- Who is to move together, while it is being found out. Runs with search_path = biograph_bridge.

-- A command fills it; the daemon makes a batch of it, all at once. What nobody began with is removed after a day.
create table cutover_draft (
    id bigint generated always as identity primary key,
    made_at timestamptz not null default clock_timestamp()
);
create table cutover_draft_member (
    draft bigint not null references cutover_draft on delete cascade,
    legacy_id text not null,
    primary key (draft, legacy_id)
);
