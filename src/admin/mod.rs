//! HTTP: metrics, probes, status.
