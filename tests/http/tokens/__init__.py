"""Tests of ``app/http/tokens``."""
