"""Linear learners in closed form."""
