-- Whoever was born in Renaissance has never left BioGraph: nobody's former owner. Runs with search_path = biograph_bridge.

alter table cutover drop column former;
-- as in 0019, but for a first row that says renaissance
alter table cutover add former text generated always as
    (case when state = 'renaissance' and moved then 'legacy' when state = 'legacy' and epoch > 0 and moved then 'renaissance' end) stored;
update cutover set moved = false where state = 'renaissance' and epoch = 1;
