"""What learners see of the past. Everything here looks backwards only."""
