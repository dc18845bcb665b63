"""Tests of ``app/expressions``."""
