"""Tests of ``app/execution``."""
