"""Tests of ``app/sources/lists``."""
