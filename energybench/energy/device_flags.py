"""What the states of the devices say about a window: `throttled`, and `contaminated`."""

from collections.abc import Mapping

from energybench.energy.readings import DeviceState

THROTTLED_SHARE = 0.01
"""A window is marked `throttled` if clocks were held down for more than this share of it."""


def device_flags(devices: Mapping[str, Mapping[str, DeviceState]], duration_s: float) -> list[str]:
    """The flags `throttled` and `contaminated`, from the states of all devices at both ends.

    `throttled` means a lack of power or cooling at either end, or for over 1 % of the time between.
    `contaminated` means that other processes computed on a device.
    """
    states = [state for ends in devices.values() for state in ends.values()]
    throttled = any(state.throttle_reasons for state in states) or any(
        _throttled_s(ends["start"], ends["end"]) > THROTTLED_SHARE * duration_s
        for ends in devices.values()
    )
    contaminated = any(state.other_processes for state in states)
    return [*(["throttled"] if throttled else []), *(["contaminated"] if contaminated else [])]


def _throttled_s(start: DeviceState, end: DeviceState) -> float:
    if start.throttled_s is None or end.throttled_s is None:
        return 0.0
    return end.throttled_s - start.throttled_s


def paired(
    before: Mapping[str, DeviceState], after: Mapping[str, DeviceState]
) -> dict[str, dict[str, DeviceState]]:
    """Return domain -> its states at "start" and "end", where both are known."""
    return {d: {"start": before[d], "end": after[d]} for d in before.keys() & after.keys()}
