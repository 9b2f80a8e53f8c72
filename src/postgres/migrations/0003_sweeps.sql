-- How long a sweep has run, how much there is, and what it met that cannot be addressed. Runs with search_path =
-- biograph_bridge.

alter table sweep
    add started_at timestamptz not null default now(),
    add total bigint, -- an estimate
    add parked bigint not null default 0;
