"""The process that changes a GPU's power limit, and restores it when another process ends.

It is started by `power_limit.power_limit` in a session of its own, and ignores the signals that
end that one. Its standard input closes when the other process closes it or dies, however that
happens; it also looks whether its parent is still the same, since a child of the other process may
have inherited the pipe.
"""

import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from energybench.energy.meters.nvml.devices import in_use, initialized
from energybench.energy.power_limit import READY, restore, set_limit, write_note
from energybench.errors import EnergybenchError

LOOK_S = 0.5
"""Seconds between two looks whether the parent lives."""


def main() -> int:
    """Set a limit, wait for the end of the parent, and restore the former limit.

    The arguments are the GPU's UUID, the limit in milliwatts, the path of the note, and the
    parent's process id. The first line of the output is `READY`, or the reason of a failure.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    uuid, milliwatts, path, parent = sys.argv[1:5]
    note = Path(path)
    try:
        nvml = initialized()
        (gpu,) = in_use(nvml, [uuid])
        write_note(note, gpu, int(nvml.nvmlDeviceGetPowerManagementLimit(gpu.handle)))
        try:
            set_limit(nvml, gpu, int(milliwatts))
        except EnergybenchError:
            note.unlink(missing_ok=True)
            raise
    except EnergybenchError as error:
        _say(str(error))
        return 1
    _say(READY)
    ended = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    while not ended.wait(LOOK_S) and os.getppid() == int(parent):
        pass
    restore(note)
    return 0


def _say(line: str) -> None:
    with suppress(OSError):  # the parent has died meanwhile
        print(line, flush=True)


def _wait_for_end(ended: threading.Event) -> None:
    sys.stdin.buffer.read()
    ended.set()


if __name__ == "__main__":
    os._exit(main())  # the thread may still read, and the output may be closed
