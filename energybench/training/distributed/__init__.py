"""Several ranks (processes) that train one model."""
