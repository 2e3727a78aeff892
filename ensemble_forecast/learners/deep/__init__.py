"""Nets on one lean training loop; the only owner of torch."""
