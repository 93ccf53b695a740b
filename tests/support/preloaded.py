"""The imports that cost a session seconds; `support.sessions` does them once.

pytest's plugins are not among them: pytest rewrites their assertions while it imports them.
"""

import gc
import sys

import numpy.testing  # noqa: F401
import psutil  # noqa: F401
import pydantic  # noqa: F401
import pytest  # noqa: F401
import scipy.stats  # noqa: F401
import sklearn.datasets
import sklearn.model_selection  # noqa: F401
import tabulate  # noqa: F401

from energybench.workloads.images import vision

for _name in [name for name in sys.modules if name.partition(".")[0] == "energybench"]:
    if _name != vision.__name__:  # it keeps the operators that it has declared
        del sys.modules[_name]

gc.collect()
gc.freeze()  # a session's garbage collections skip these modules
