"""Image classification: data sets, networks and their weights."""
