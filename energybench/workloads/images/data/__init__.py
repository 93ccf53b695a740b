"""Image data sets with fixed splits, from their files to batches."""
