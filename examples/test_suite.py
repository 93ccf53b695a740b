"""A pytest-benchmark suite, as you may have one already; nothing in it knows of energybench.

    pytest --energy examples/test_suite.py

One test calls a function as it is, one gives each round a list of its own.
"""

import pytest


def fibonacci(n):
    """Return the n-th Fibonacci number, slowly."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@pytest.mark.parametrize("n", [10, 15])
def test_fibonacci(benchmark, n):
    """A plain call."""
    assert benchmark(fibonacci, n) in (55, 610)


def test_sort(benchmark):
    """A list of its own for each round, made outside of the measurement."""
    done = benchmark.pedantic(sorted, setup=lambda: ((list(range(10_000, 0, -1)),), {}), rounds=20)
    assert done[0] == 1
