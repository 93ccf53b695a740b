"""Executors of cells: this process, or several ranks."""
