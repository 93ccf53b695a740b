"""Joules of a block of code: windows, readings, the lock, the machine."""
