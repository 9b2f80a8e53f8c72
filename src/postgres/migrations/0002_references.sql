-- Who owns a record, what parked keys wait for, what commands ask of the daemon. Runs with search_path = biograph_bridge.

-- The legacy id of the person who owns the record; null for a person.
alter table link add person text;
create index link_person on link (person) where person is not null;

-- The records a parked key waits for, as 'entity legacy:ID' or 'entity renaissance:ID'.
alter table parked add waits text[] not null default '{}';
create index parked_waits on parked using gin (waits);

-- What a command asks of the active daemon. outcome: what it answered; null until it is done.
create table request (
    id bigint generated always as identity primary key,
    command text not null,
    arguments jsonb not null,
    requested_at timestamptz not null default now(),
    done_at timestamptz,
    outcome jsonb
);
create index request_open on request (id) where done_at is null;
