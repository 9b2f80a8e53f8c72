-- What an intent costs with every change of a document. Runs with search_path = biograph_bridge.

-- One row for all records of a batch that are written together, a column each, instead of a row per record: half of what a
-- change cost besides the change itself went into writing these rows and removing them again. `intent` shows them one by one.
create table open_intent (
    id uuid not null,
    entity text not null,
    shape integer not null,
    legacy_ids text[] not null,
    renaissance_ids bigint[] not null,
    kinds text[] not null,
    bases bytea[] not null,
    at timestamptz not null default now()
);
create index open_intent_id on open_intent (id);
-- digests do not get smaller
alter table open_intent alter bases set storage external, alter legacy_ids set storage external;

insert into open_intent (id, entity, shape, legacy_ids, renaissance_ids, kinds, bases, at)
    select id, entity, shape, array_agg(legacy_id), array_agg(renaissance_id), array_agg(kind), array_agg(base), min(at)
    from intent group by id, entity, shape;
drop table intent;

create view intent as
    select o.id, o.entity, v.legacy_id, v.renaissance_id, v.kind, o.shape, v.base, o.at
    from open_intent o, unnest(o.legacy_ids, o.renaissance_ids, o.kinds, o.bases)
        as v (legacy_id, renaissance_id, kind, base);
