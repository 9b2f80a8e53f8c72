-- The fence: one row, whose epoch is raised by every daemon that becomes active. Runs with search_path = biograph_bridge.

create table lease (
    only_one boolean primary key default true check (only_one),
    epoch bigint not null default 0,
    taken_at timestamptz not null default now()
);
insert into lease default values;

-- Fails unless `mine` is the present epoch, and keeps it so until the transaction ends: raising it waits for the row.
create function fence(mine bigint) returns void language plpgsql as $$
begin
    perform 1 from biograph_bridge.lease where epoch = mine for share;
    if not found then
        raise exception using errcode = 'BB001', message = 'another daemon has taken over';
    end if;
end $$;
