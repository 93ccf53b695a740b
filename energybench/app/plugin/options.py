"""The options of a session: `--energy-NAME` on the command line, `energy_NAME` in ini files."""

import argparse
import difflib
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from energybench.app.declared import Option, build, options_of
from energybench.app.session_options import Options as Options
from energybench.errors import EnergybenchError, UsageError

OPTIONS = tuple(options_of(Options).values())
_THEIRS = object()
"""Stands for the value of an option whose name the suite has for something of its own."""
_BATCH_SIZE = ("run", "finetune", "batch_size")
_LARGEST_BATCH = ("run", "largest_batch")


def flag(option: Option) -> str:
    """Return the option's name on the command line: "--energy-batch-size"."""
    return f"--energy-{option.name}" if option.name else "--energy"


def key(option: Option) -> str:
    """Return the option's name in a configuration file: "energy_batch_size"."""
    return f"energy_{option.name.replace('-', '_')}" if option.name else "energy"


def dest(option: Option) -> str:
    """Return the option's name in `config.option`: "energy_batch_size"."""
    return key(option) if option.name else "energy_per_call"


def add_options(parser: pytest.Parser) -> None:
    """Declare the options to pytest, each as a flag and as a key of configuration files."""
    for one in OPTIONS:
        if one.name:
            _add(one, parser)


def add_bare_flag(parser: pytest.Parser) -> None:
    """Declare `--energy`, unless a suite has given that name to an option or a key of its own.

    It has no value, so that pytest may meet it before it is declared.
    """
    for one in OPTIONS:
        if not one.name and key(one) not in getattr(parser, "_inidict", {}):
            with suppress(ValueError, argparse.ArgumentError):
                _add(one, parser)


def _add(one: Option, parser: pytest.Parser) -> None:
    group = parser.getgroup("energybench", "energy of fine-tuning compressed networks")
    more: dict[str, object] = {"metavar": "X"}
    if one.kind is bool:
        more = {"action": "store_const", "const": "true"}
    if one.rule.repeats:
        more["action"] = "append"
    if one.rule.bare is not None:
        more |= {"nargs": "?", "const": one.rule.bare}
    escaped = one.help.replace("%", "%%")  # argparse formats help texts
    group.addoption(flag(one), dest=dest(one), help=escaped, **more)
    parser.addini(key(one), one.help, default=None)


@dataclass(frozen=True)
class Given:
    """The value that a user has given to an option, and the option's name in that place."""

    value: object
    spelt: str
    """The option's name in errors: "--energy-pue", or "energy_pue in pytest.ini"."""


def given_options(config: pytest.Config) -> dict[str, Given]:
    """Return the options that are set, by `key`: flags override files; "" in a file sets nothing.

    Values are read as the file has them: text from `pytest.ini`, text or lists from
    `[tool.pytest.ini_options]`, any type of TOML from `[tool.pytest]`. `Config.getini` would
    accept one type only.
    """
    in_files = _in_files(config)
    overridden = {text.partition("=")[0] for text in config.getoption("override_ini") or ()}
    given: dict[str, Given] = {}
    flags = {one: config.getoption(dest(one), _THEIRS) for one in OPTIONS}
    ours = {one: text for one, text in flags.items() if text is not _THEIRS}
    for name in map(key, ours):
        if in_files.get(name, "") != "":
            file = config.inipath.name if config.inipath else "the configuration"
            spelt = f"-o {name}" if name in overridden else f"{name} in {file}"
            given[name] = Given(in_files[name], spelt)
    for one, text in ours.items():
        if text is not None:
            given[key(one)] = Given(text, flag(one))
    return given


def _in_files(config: pytest.Config) -> dict[str, object]:
    """Return all values of the configuration file and of `-o`, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of `inicfg`, in favour of `getini`
        found: Mapping[str, Any] = config.inicfg
        # pytest 9.0.0 and 9.0.1 have each value within an object that says where it is from
        return {name: getattr(value, "value", value) for name, value in found.items()}


def marked_options(values: Mapping[str, object], mark: str) -> dict[str, Given]:
    """Return the options that a mark sets, by `key`; `values` has them by name.

    Raises `UsageError` for an unknown name.
    """
    known = {one.name: key(one) for one in OPTIONS}
    found: dict[str, Given] = {}
    for given, value in values.items():
        name = given.replace("_", "-")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else "pytest --help lists them"
            raise UsageError(f"{mark}: options has an unknown name, {given!r}; {hint}")
        found[known[name]] = Given(value, f"{mark}: {name} in options")
    return found


def with_flag(error: EnergybenchError) -> str:
    """Return the message of `error`, naming the flag that forbids waiting for the machine."""
    from energybench.energy.lock import InUse  # here: no foreign session needs it

    return f"{error} without --energy-no-wait" if isinstance(error, InUse) else str(error)


def read_options(given: Mapping[str, Given]) -> Options:
    """Return the options of a session; `given` holds the ones that are set, by `key`.

    Raises `UsageError`, whose one line calls the option as the user spelt it.
    """
    values: dict[tuple[str, ...], Any] = {
        one.path: one.read(given[key(one)].value, given[key(one)].spelt)
        for one in OPTIONS
        if key(one) in given
    }
    if values.get(_BATCH_SIZE) == "auto":
        del values[_BATCH_SIZE]
        values[_LARGEST_BATCH] = True
    options = build(Options, values)
    _check_together(options)
    return options


def _check_together(options: Options) -> None:
    """Raise `UsageError` for options that contradict each other."""
    measure = options.run.measure
    if "replay" in measure.meters and measure.replay is None:
        raise UsageError("--energy-meter=replay plays a trace; name it with --energy-replay=FILE")
    if measure.replay is not None and "replay" not in measure.meters:
        raise UsageError(
            "--energy-replay is the trace of the meter replay; name that one, too, with "
            "--energy-meter=replay"
        )
    if "wall" in measure.meters and measure.wall_meter is None:
        raise UsageError(
            "--energy-meter=wall reads a plug or a board; name it with "
            "--energy-wall-meter=shelly:HOST"
        )
    if "auto" in measure.meters and len(measure.meters) > 1:
        raise UsageError(
            "--energy-meter: auto chooses the meters itself; name it alone, or name meters"
        )
    from energybench.app.plugin.torchrun import rank  # itself a plugin, which pytest imports first

    if rank() is None:  # a launcher's ranks know their number when they join
        options.run.check_ranks(options.world_size)


def option_table() -> str:
    """Return all options as a Markdown table, for the manual."""
    lines = ["| option (ini key: `energy_...`) | default | meaning |", "| --- | --- | --- |"]
    for one in OPTIONS:
        default = f"`{one.default_text}`" if one.default_text else ""
        if one.rule.default_text is not None:
            default = one.rule.default_text
        lines.append(f"| `{flag(one)}` | {default} | {one.rule.help} |")
    return "\n".join(lines)
