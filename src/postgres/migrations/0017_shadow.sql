-- Conflicts that a shadow foresees. Runs with search_path = biograph_bridge.

alter table conflict add shadow boolean not null default false;
create index conflict_shadow on conflict (entity, legacy_id) where shadow;
