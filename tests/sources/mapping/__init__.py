"""Tests of ``app/sources/mapping``."""
