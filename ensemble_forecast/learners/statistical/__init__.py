"""Statistical learners, batched over all series and parameter sets."""
