"""The door: frames and files become a Panel, or a refusal that says what to do."""
