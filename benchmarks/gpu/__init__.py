"""One hour on a GPU, in parts that end by themselves and go on where they stopped.

`python -m benchmarks.gpu --list` names the parts; docs/gpu.md says how to run them.
"""
