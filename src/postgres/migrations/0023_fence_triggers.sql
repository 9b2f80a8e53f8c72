-- What triggers on mapped tables go by (`init --fence-triggers`). Runs with search_path = biograph_bridge.

-- Whether the row was there before its document. A person who was born in Renaissance is there until somebody moves them.
alter table link add born_in_renaissance boolean not null default false;

-- Refuses a write to what is a person's, who is named by the id of their row. Whom the bridge does not know yet, nobody holds.
-- Each statement sees what is committed by then (read committed), so a transaction that began before a move does not slip through.
create function hold(person_entity text, person_id bigint) returns void language plpgsql as $$
declare
    place text;
begin
    select coalesce(c.state, case when l.born_in_renaissance then 'renaissance' else 'legacy' end) into place
    from biograph_bridge.link l left join biograph_bridge.cutover c on c.legacy_id = l.legacy_id
    where l.entity = person_entity and l.renaissance_id = person_id;
    if place = 'draining' then
        raise exception using errcode = 'BB002', message = 'this person is moving: writes for them are held',
            detail = format('%s %s is draining.', person_entity, person_id), hint = 'Try again in a second.';
    elsif place = 'legacy' then
        raise exception using errcode = 'BB003', message = 'this person is on the legacy side: writes for them go there',
            detail = format('%s %s has not been moved.', person_entity, person_id),
            hint = 'Send this person to the other application, or move them: biograph-bridge cutover start.';
    end if;
end $$;
