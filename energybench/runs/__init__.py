"""One run: its cells, their references, what executes them."""
