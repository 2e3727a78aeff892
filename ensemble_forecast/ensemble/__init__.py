"""Combiners, the contest between them, and calibration."""
