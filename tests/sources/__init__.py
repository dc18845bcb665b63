"""Tests of ``app/sources``."""
