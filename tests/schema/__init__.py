"""Tests of ``app/schema``."""
