"""A program of someone else's: leaves its parent, names its process, and computes for a minute.

It multiplies matrices on the first GPU, or keeps every processor busy where there is none.
"""

import os
import sys
import time

LASTS_S = 60.0


def main() -> None:
    """Fork, end the parent once the child computes, and go on in the child."""
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        print(os.read(read, 32).decode(), flush=True)
        os._exit(0)
    os.close(read)
    os.setsid()
    os.close(1)
    import torch

    end = time.monotonic() + LASTS_S
    if torch.cuda.is_available():
        one = torch.randn(4096, 4096, device="cuda")
        torch.cuda.synchronize()
        os.write(write, str(os.getpid()).encode())
        while time.monotonic() < end:
            one @ one
            torch.cuda.synchronize()
    else:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        one = torch.randn(1024, 1024)
        os.write(write, str(os.getpid()).encode())
        while time.monotonic() < end:
            one @ one


if __name__ == "__main__":
    sys.exit(main())
