"""Tests of ``app/settings``."""
