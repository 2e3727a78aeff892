"""Pictures; the only owner of plotly."""
