"""Measurements for a dashboard: a file that Prometheus' node_exporter reads, and OTLP."""
