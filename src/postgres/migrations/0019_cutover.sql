-- Moving people. Runs with search_path = biograph_bridge.

-- leaving: the side that a draining person leaves; null is legacy. moved: whether the person was ever on the other side. owner and
-- former follow from these: the side that is authoritative, and the one that a person who rests has left.
alter table cutover
    add leaving text check (leaving in ('legacy', 'renaissance')),
    add moved boolean not null default true;
alter table cutover
    add owner text not null generated always as
        (case state when 'draining' then coalesce(leaving, 'legacy') else state end) stored,
    add former text generated always as
        (case when state = 'renaissance' then 'legacy' when state = 'legacy' and epoch > 0 and moved then 'renaissance' end) stored;
create index cutover_draining on cutover (legacy_id) where state = 'draining';

-- Each step of each move. outcome: null while the move goes on. findings: what was in the way or differs; names and ids, no values.
create table cutover_history (
    id bigint generated always as identity primary key,
    legacy_id text not null,
    renaissance_id bigint,
    step text not null,
    outcome text,
    toward text not null check (toward in ('legacy', 'renaissance')),
    state text not null,
    epoch bigint not null,
    detail text,
    findings jsonb,
    who text,
    reason text,
    batch bigint,
    request bigint, -- the request that asked for the move
    at timestamptz not null default clock_timestamp()
);
create index cutover_history_person on cutover_history (legacy_id, id);
create index cutover_history_request on cutover_history (request, id) where request is not null;
