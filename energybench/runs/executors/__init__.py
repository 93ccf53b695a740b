"""What runs a cell: this process, or several ranks."""
