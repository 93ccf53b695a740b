"""One run: its cells, their references, and the executors of cells."""
