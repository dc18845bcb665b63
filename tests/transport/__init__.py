"""Tests of ``app/transport``."""
