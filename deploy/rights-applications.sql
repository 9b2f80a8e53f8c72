-- What Renaissance's application may see of the bridge: who is where, and nothing else. Once, after `init`, as role bridge; put
-- the application's role in place of renaissance_app.
GRANT USAGE ON SCHEMA biograph_bridge TO renaissance_app;
GRANT SELECT ON biograph_bridge.cutover TO renaissance_app;
