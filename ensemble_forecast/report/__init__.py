"""What a human sees: the terminal and pictures; the only owner of rich and plotly."""
