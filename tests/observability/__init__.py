"""Tests of ``app/observability``."""
