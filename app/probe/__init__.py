"""Checks of sources for operators: calls to each source by the gateway itself, all recorded.

Reports may contain personal data. They go to the operator's terminal, and into no log.
"""
