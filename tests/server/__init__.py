"""Tests of ``app/server``."""
