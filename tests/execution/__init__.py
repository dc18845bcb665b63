"""Tests of ``app/federation``."""
