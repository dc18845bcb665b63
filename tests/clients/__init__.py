"""The gateway as real clients of frontend engineers see it."""
