"""Energy windows and device locks over all ranks of a run."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from energybench.energy import lock
from energybench.energy.machine import gpu_id
from energybench.energy.nodes import over_nodes
from energybench.energy.readings import EnergyReading
from energybench.energy.windows import MeterSet, Window
from energybench.training.distributed.group import Group


@contextmanager
def window(
    meters: MeterSet, group: Group, synchronize: Callable[[], None], states: bool
) -> Iterator[Window]:
    """Open an energy window on all ranks, with a barrier at both ends.

    `meters` belong to this rank, and `synchronize` waits for its device. `states` is as in
    `MeterSet.window`. On every rank the reading covers all machines. If the block raises, the
    reading covers this machine only, since other ranks may not raise.
    """
    synchronize()
    group.barrier()
    with ExitStack() as cut_short:
        with meters.window(synchronize, states) as found:
            cut_short.callback(_complete, found, {}, group)
            group.barrier()  # every meter is read before any rank begins
            yield found
            synchronize()
            group.barrier()
        cut_short.pop_all()
    _complete(found, dict(enumerate(group.all_gather(found.reading))), group)


def _complete(window: Window, readings: dict[int, EnergyReading], group: Group) -> None:
    window.reading = over_nodes(readings or {group.rank: window.reading}, group.nodes)


def resources(meters: MeterSet, group: Group, uuid: str | None) -> list[str]:
    """Name the devices that this machine's ranks must hold alone, see `lock.resources`.

    `uuid` is the CUDA UUID of this rank's GPU; None for training on the CPU.
    """
    domain = None if uuid is None else f"gpu:{gpu_id(f'GPU-{uuid}')}"
    everyone = group.all_gather((group.node, domain))
    trained_on = [gpu for node, gpu in everyone if gpu and node == group.node]
    return lock.resources([*meters.sources, *trained_on], trains_on_cpu=uuid is None)


@contextmanager
def exclusive_use(
    names: Sequence[str], group: Group, wait: bool, say: Callable[[str], None]
) -> Iterator[None]:
    """Lock the devices through one rank of each machine; the other ranks wait for the lock."""
    with ExitStack() as held:

        def hold() -> None:
            if group.local_rank == 0:
                held.enter_context(lock.exclusive_use(names, wait, say))

        group.run_on_all(hold)
        yield
