"""Options that contradict each other, or name a file that is not there, end the session at once."""

import pytest

from energybench.app.paths import check_path
from energybench.app.plugin.options import OPTIONS, dest, flag
from energybench.app.plugin.state import RUN
from energybench.app.plugin.torchrun import executor_name
from energybench.errors import UsageError


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Refuse what the command line alone decides, also where no cell is selected.

    A file may name data that this machine lacks: then only its cells cannot run.
    """
    try:
        for one in OPTIONS:
            check_path(one.name, config.getoption(dest(one), None), flag(one))
        executor_name(config.stash[RUN].options)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error
