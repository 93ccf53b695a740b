"""Records of cells: as written to disk, and as read back."""
