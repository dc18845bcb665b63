"""The documentation: its links, its navigation, and that what it shows can be run."""
