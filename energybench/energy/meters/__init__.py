"""Joules from the machine: counters where there are any, labelled estimates elsewhere."""
