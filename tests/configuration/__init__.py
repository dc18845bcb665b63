"""Tests of ``app/configuration``."""
