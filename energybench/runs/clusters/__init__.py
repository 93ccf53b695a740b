"""A matrix on a cluster: blocks of cells as jobs of Slurm, each with a journal of its own.

What travels is text: a plan, a command, journals. No module here imports torch when it is loaded.
"""
