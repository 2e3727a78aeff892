"""Forecasts time series: searches, stacks, saves and honestly judges forecasters."""
