"""Forests and boosted trees on features of the past."""
