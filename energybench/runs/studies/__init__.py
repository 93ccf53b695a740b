"""Studies beside the matrix: training steps, inference, arithmetic intensity, capacity."""
