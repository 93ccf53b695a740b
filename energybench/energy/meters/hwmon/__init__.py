"""Sensors of Linux' hardware monitoring (hwmon)."""
