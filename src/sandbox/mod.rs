//! Real MongoDB and Postgres servers on loopback, without Docker or root, for trying the bridge out and for its tests.
