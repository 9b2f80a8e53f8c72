-- Whoever changes a cutover row, the daemon hears of it: it answers from memory who is where.
create function cutover_changed() returns trigger language plpgsql as $$
begin
    perform pg_notify('biograph_bridge_cutover', coalesce(case tg_op when 'DELETE' then old.legacy_id when 'TRUNCATE' then '' else new.legacy_id end, ''));
    return null;
end
$$;
create trigger cutover_changed after insert or update or delete on cutover for each row execute function cutover_changed();
create trigger cutover_emptied after truncate on cutover for each statement execute function cutover_changed();
