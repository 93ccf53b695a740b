"""Ways to make a network smaller, and to keep it so while it is trained."""
