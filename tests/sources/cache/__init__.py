"""Tests of ``app/sources/cache``."""
