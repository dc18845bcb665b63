"""Tests of ``app/resilience``."""
