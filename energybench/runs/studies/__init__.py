"""Questions beside the matrix: steps, answers, intensity, capacity."""
