"""pytest and the shell."""
