"""Tests of what a query may cost."""
