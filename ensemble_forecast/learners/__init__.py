"""Everything that forecasts, under one contract (learners.base)."""
