"""pytest's own listings, for everyone whose environment has energybench."""

import pytest

from energybench.app.plugin.options import OPTIONS, flag


@pytest.mark.parametrize("before", [(), ("--energy-seeds=2",)])
def test_help_shows_every_option(pytester: pytest.Pytester, before: tuple[str, ...]) -> None:
    done = pytester.runpytest_subprocess(*before, "--help")
    assert done.ret == 0
    text = " ".join(done.stdout.str().split())
    for option in OPTIONS:
        assert f"{flag(option)} " in text or f"{flag(option)}=" in text
        assert " ".join(option.help.split()) in text


@pytest.mark.parametrize(
    ("listing", "shows"), [("--fixtures", "energy"), ("--markers", "@pytest.mark.energy_matrix(")]
)
def test_listings_work_in_an_empty_folder(
    pytester: pytest.Pytester, listing: str, shows: str
) -> None:
    done = pytester.runpytest_subprocess(listing)
    assert done.ret in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert shows in done.stdout.str()
