"""Tests of ``app/auth``."""
