"""Tests of the gateway; they mirror ``app/``."""
