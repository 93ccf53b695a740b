"""Files on a disk that fills up; importable, so that workers of any start method have them."""

import numpy as np
from numpy.typing import NDArray

from energybench.workloads.images.data.pixel_files import PixelFiles


class FilesOnAFullDisk(PixelFiles):
    """Files with room for eleven squares."""

    def write(self, index: int, square: NDArray[np.uint8]) -> None:
        """Raise `OSError` for the twelfth square."""
        if index == 11:
            raise OSError(28, "No space left on device")
        super().write(index, square)
