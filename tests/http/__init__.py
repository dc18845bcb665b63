"""Tests of ``app/http``."""
