"""Forecasts: what the cells of a matrix will take, before they run."""
