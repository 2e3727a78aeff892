"""The locked test origins, and what they say."""
