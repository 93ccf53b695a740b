"""The command `python -m benchmarks.gpu`."""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.parts import PARTS, Part, Place

MINUTES = 9.0
"""Minutes of one part: six parts fit into an hour, with time to start and to look."""
REHEARSED_S = 600.0
"""Seconds that a part of a rehearsal has at most."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0 where all went well, 1 where something did not, 2 for a mistake."""
    options = _parser().parse_args(arguments)
    if options.list:
        for part in PARTS:
            print(f"{part.number}  {part.title}")
        return 0
    from energybench.errors import EnergybenchError

    try:
        return _run(options)
    except EnergybenchError as error:
        print(f"benchmarks.gpu: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description="Measure one GPU in parts that end by themselves and go on where they stopped.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true", help="name the parts")
    what.add_argument("--check", action="store_true", help="say what is missing here")
    what.add_argument("--part", type=_parts, metavar="N", help="run a part, or several: 1,2")
    what.add_argument(
        "--rehearse",
        nargs="?",
        type=_parts,
        const=PARTS,
        metavar="N",
        help="run all parts, or some, at tiny sizes on the CPU",
    )
    what.add_argument(
        "--collect",
        nargs="?",
        type=_parts,
        const=PARTS,
        metavar="N",
        help="write the JSON of all parts, or of some, from what was measured so far",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FOLDER",
        help="folder of the JSON and the journal of each part (default: results/gpu, for a "
        "rehearsal a temporary one)",
    )
    parser.add_argument(
        "--scratch",
        type=Path,
        metavar="FOLDER",
        help="folder for photographs and untrained weights (default: one in the user's cache, for "
        "a rehearsal a temporary one)",
    )
    parser.add_argument(
        "--minutes",
        type=_minutes,
        default=MINUTES,
        metavar="M",
        help="minutes after which a part has ended (default: %(default)g)",
    )
    return parser


def _parts(text: str) -> tuple[Part, ...]:
    known = {str(part.number): part for part in PARTS} | {part.name: part for part in PARTS}
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"there is no part {name!r}; --list names them")
    return tuple(known[name] for name in names)


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 1.0 <= minutes <= 24 * 60:
        raise argparse.ArgumentTypeError(f"{text} is not a number of minutes from 1 to 1440")
    return minutes


def _run(options: argparse.Namespace) -> int:
    from benchmarks.gpu.collecting import collect, files_of
    from energybench.files import cache_folder

    rehearsal = options.rehearse is not None
    with tempfile.TemporaryDirectory(prefix="energybench-gpu-") as temporary:
        own = Path(temporary)
        output = options.output or (own / "output" if rehearsal else Path("results/gpu"))
        output = output.absolute()
        if options.collect is not None:
            for part in options.collect:
                found = collect(part, output)
                print(f"{files_of(part, output)['json']}: {len(found.left)} tests are left")
            return 0
        scratch = own / "scratch" if rehearsal else cache_folder("gpu-session")
        scratch = (options.scratch or scratch).absolute()
        if not _ready(scratch, rehearsal):
            return 1
        if options.check:
            return 0
        place = Place(scratch, rehearsal)
        seconds = REHEARSED_S if rehearsal else 60.0 * options.minutes
        return _run_parts(options.rehearse or options.part, place, output, seconds)


def _ready(scratch: Path, rehearsal: bool) -> bool:
    """Print what is missing; return whether the parts can run."""
    from benchmarks.gpu.needs import findings

    found = list(findings(scratch, rehearsal))
    for one in found:
        print(f"{'missing' if one.fatal else 'note'}: {one.text}")
    if not found:
        print("nothing is missing")
    return not any(one.fatal for one in found)


def _run_parts(parts: Sequence[Part], place: Place, output: Path, seconds: float) -> int:
    """Run `parts`; a rehearsal has to finish all of its tests."""
    from benchmarks.gpu.runner import Stopped, run_part

    troubles: list[str] = []
    for part in parts:
        began = time.monotonic()
        try:
            found = run_part(part, place, output, seconds, lambda line: print(line, flush=True))
        except Stopped as stopped:
            print(f"part {part.label}: stopped by {stopped}; the next run goes on", flush=True)
            return 128 + stopped.number
        print(f"part {part.label}: {time.monotonic() - began:.0f} s", flush=True)
        troubles += found.troubles
        if place.rehearsal:
            troubles += found.failed
            troubles += [f"part {part.label}: {found.left} tests were left"] if found.left else []
    for line in troubles:
        print(line, file=sys.stderr)
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
