//! The legacy side: the only place that names the MongoDB driver.
