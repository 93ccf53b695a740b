"""What a cell leaves on disk, and how it comes back."""
