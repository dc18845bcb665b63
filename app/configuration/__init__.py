"""Settings from a file and from variables, put together, and every mistake in both."""
