"""Which sources a selection needs, asking them, and what they said of each user."""
