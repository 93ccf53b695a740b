"""`pytest --help` is for everyone in an environment that has energybench."""

import pytest

from energybench.app.plugin.options import OPTIONS


@pytest.mark.parametrize("before", [(), ("--energy-seeds=2",)])
def test_help_shows_every_option(pytester: pytest.Pytester, before: tuple[str, ...]) -> None:
    done = pytester.runpytest_subprocess(*before, "--help")
    assert done.ret == 0
    text = " ".join(done.stdout.str().split())
    for option in OPTIONS:
        assert f"{option.flag} " in text or f"{option.flag}=" in text
        assert " ".join(option.help.split()) in text
