"""The whole machine, by the board's controller: `ipmitool dcmi power reading`.

The controller (BMC) tells the power that the machine draws at this moment, in whole watts. The
program prints "Instantaneous power reading: 220 Watts" and "Power reading state is: activated"
(`ipmi_dcmi_pwr_rd` in `lib/ipmi_dcmi.c` of ipmitool). It needs the device `/dev/ipmi0`, which is
root's on most systems. It is read by name only: it contains what the other meters read.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping

from energybench.energy.coverage import WHOLE
from energybench.energy.meters.base import MeterAbsent, MeterUnavailable
from energybench.energy.meters.slow import (
    MIN_WINDOW_S,
    PERIOD_S,
    SILENCE_S,
    TIMEOUT_S,
    Sample,
    SlowPower,
)
from energybench.energy.source import IPMI, Source

PROGRAM = "ipmitool"
DOMAIN = f"{WHOLE}:bmc"


class IpmiMeter:
    """Reads `wall:bmc`: the power of the whole machine, asked for once a second by a thread.

    Raises `MeterAbsent` without ipmitool, and `MeterUnavailable` if it tells no power, or 0 W.
    """

    min_window_s = MIN_WINDOW_S
    update_s = PERIOD_S

    def __init__(self, period_s: float = PERIOD_S, silence_s: float = SILENCE_S) -> None:
        program = shutil.which(PROGRAM)
        if program is None:
            raise MeterAbsent(f"{PROGRAM} is not installed")
        self._program = program
        self._power = SlowPower(self._ask, period_s, TIMEOUT_S, silence_s)
        if self._power.watts == 0.0:
            self.close()
            raise MeterUnavailable(f"{PROGRAM} reads 0 W: this controller measures no power")

    def domains(self) -> dict[str, Source]:
        """`wall:bmc`."""
        return {DOMAIN: IPMI}

    def read_joules(self) -> Mapping[str, float]:
        """Joules since the meter was opened; raises `MeterSilent` after a silence."""
        return {DOMAIN: self._power.joules()}

    def background_cpu_s(self) -> float:
        """CPU seconds of the thread that asks, without ipmitool's own."""
        return self._power.cpu_s

    def close(self) -> None:
        """End the thread."""
        self._power.close()

    def _ask(self) -> Sample:
        try:
            ran = subprocess.run(
                [self._program, "dcmi", "power", "reading"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise MeterUnavailable(f"{PROGRAM} took over {TIMEOUT_S:g} s") from error
        except OSError as error:
            raise MeterUnavailable(f"{PROGRAM} cannot run: {error.strerror}") from error
        return Sample(_watts(ran.stdout.decode(errors="replace"), ran.stderr, ran.returncode))


def _watts(printed: str, errors: bytes, status: int) -> float:
    found = re.search(r"Instantaneous power reading:\s*(\d{1,6}) Watts", printed)
    if status or found is None:
        said = errors.decode("ascii", "replace").split("\n")[0][:200]
        why = "".join(filter(str.isprintable, said)) or f"it ended with status {status}"
        raise MeterUnavailable(f"{PROGRAM} tells no power: {why}")
    if re.search(r"Power reading state is:\s*deactivated", printed):
        raise MeterUnavailable(f"{PROGRAM}: power reading is deactivated in the controller")
    return float(found[1])
