//! The renaissance side and the bridge's state: the only place that names sqlx.
