"""Carbon intensity by the hour, from files that publishers of grid data give out."""
