"""What can be wrong with a benchmark that a person has to mend."""


class BenchmarkError(Exception):
    """A benchmark cannot be run, or what it ran was not what it should have been."""


class UnavailableError(BenchmarkError):
    """A peer cannot be set up here; the others can."""
