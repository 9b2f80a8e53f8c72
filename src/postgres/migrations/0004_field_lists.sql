-- When a field list was last in use: a field that comes to it makes the first copy begin again. Runs with search_path =
-- biograph_bridge.

alter table shape add used_at timestamptz;
