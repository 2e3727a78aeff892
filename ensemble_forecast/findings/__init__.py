"""What a run has found, as plain records for the report: read from the run folder and the study's data, never from the locked test origins."""
