-- The bridge's state. Runs with search_path = biograph_bridge; nothing here is ever published.

-- The field list a base was written under: a base is one digest per field, in this order.
create table shape (
    id integer generated always as identity primary key,
    entity text not null,
    fields text[] not null,
    unique (entity, fields)
);

-- The identity pair. base is null from the moment the bridge allocated an id until the record exists on both sides.
create table link (
    entity text not null,
    legacy_id text not null,
    renaissance_id bigint not null,
    shape integer not null references shape,
    base bytea,
    primary key (entity, legacy_id),
    unique (entity, renaissance_id)
) with (fillfactor = 80); -- every change of a person updates the base in place: room for it on the same page spares the indexes

create table checkpoint (
    side text primary key,
    position text not null,
    at timestamptz not null default now()
);

-- intent: set while the decision it belongs to is not known to have landed in MongoDB.
create table conflict (
    id bigint generated always as identity primary key,
    entity text not null,
    legacy_id text,
    renaissance_id bigint,
    kind text not null,
    field text,
    legacy_value jsonb,
    renaissance_value jsonb,
    policy text not null,
    winner text,
    owner text not null,
    epoch bigint not null,
    at timestamptz not null default now(),
    resolved_at timestamptz,
    intent uuid
);
create index conflict_record on conflict (entity, legacy_id);
create index conflict_intent on conflict (intent) where intent is not null;

create table parked (
    id bigint generated always as identity primary key,
    entity text not null,
    legacy_id text,
    renaissance_id bigint,
    field text,
    reason text not null,
    detail text not null,
    since timestamptz not null default now(),
    attempts integer not null default 1
);
create unique index parked_key on parked
    (entity, coalesce(legacy_id, ''), coalesce(renaissance_id, 0), coalesce(field, ''));
create index parked_renaissance on parked (entity, renaissance_id);

-- What the bridge deleted, whole, as it last was. deleted_on: the side on which the application deleted it.
create table tombstone (
    id bigint generated always as identity primary key,
    entity text not null,
    legacy_id text,
    renaissance_id bigint,
    deleted_on text not null,
    record jsonb not null,
    at timestamptz not null default now(),
    intent uuid
);
create index tombstone_record on tombstone (entity, legacy_id);
create index tombstone_intent on tombstone (intent) where intent is not null;

-- One row per person who is not simply on legacy. Applications read legacy_id, renaissance_id, state, epoch, since.
create table cutover (
    legacy_id text primary key,
    renaissance_id bigint unique,
    state text not null check (state in ('legacy', 'draining', 'renaissance')),
    epoch bigint not null default 0,
    since timestamptz not null default now()
);

create table sweep (
    entity text not null,
    side text not null,
    kind text not null,
    after text,
    records bigint not null default 0,
    done boolean not null default false,
    at timestamptz not null default now(),
    primary key (entity, side, kind)
);

-- What is about to be written to MongoDB, per record; settled by the ledger document of the same id.
create table intent (
    id uuid not null,
    entity text not null,
    legacy_id text not null,
    renaissance_id bigint,
    kind text not null check (kind in ('insert', 'update', 'delete')),
    shape integer not null references shape,
    base bytea not null,
    at timestamptz not null default now(),
    primary key (id, entity, legacy_id)
);

-- MongoDB sessions the bridge writes with: changes that carry one of these are its own.
create table session (
    id uuid primary key,
    opened_at timestamptz not null default now()
);
