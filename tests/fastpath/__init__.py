"""Tests of ``app/fastpath``."""
