"""The shared store, against real servers."""
