"""Callbacks that measure a training of another library; each module imports its library."""
