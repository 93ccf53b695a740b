"""The trace that the tests play: one CPU package, 50 J per read."""

from pathlib import Path

TRACE = str(Path(__file__).with_name("replay_trace.json"))
"""The trace file."""
FIFTY_JOULES = {"cpu:0": [0.0, 50.0]}
"""The same trace, for `ReplayMeter` itself."""
