"""Turns an error of PyTorch, or any other, into one line for the user."""

from energybench.errors import EnergybenchError, is_out_of_memory


def cuts_short(error: BaseException) -> bool:
    """Return whether `error` came from outside: Ctrl-C, a signal, a time limit of another plugin.

    Such a limit raises an outcome of pytest's, also `pytest.exit`, or a `TimeoutError`.
    """
    if not isinstance(error, Exception) or isinstance(error, TimeoutError):
        return True
    return type(error).__module__.partition(".")[0] in ("_pytest", "pytest")


def interrupted_by(error: BaseException) -> str:
    """Return "interrupted (SIGTERM)", or with what else `error` says in its first line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"interrupted ({lines[0]})"


def one_line(error: BaseException) -> str:
    """Return the first line of the error's message; the last line for an error of a data worker."""
    if is_out_of_memory(error):
        return "out of memory; lower batch_size"
    message = BaseException.__str__(error)  # with line breaks, which `EnergybenchError` joins
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if lines[0].startswith("Caught "):
        text = lines[-1].removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")
    else:
        text = str(error) if isinstance(error, EnergybenchError) else lines[0]
    return text if isinstance(error, EnergybenchError) else f"{type(error).__name__}: {text}"
