"""Plugs between the machine and the wall, read over the local network."""
