"""The schema version of all studies."""

SCHEMA_VERSION = 1
