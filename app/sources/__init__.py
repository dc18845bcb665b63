"""The sources: what they are, the one client that serves them, and each one's own shape."""
