"""Watching the server: request ids, logs, metrics, traces, and what HTTP probes are told."""
