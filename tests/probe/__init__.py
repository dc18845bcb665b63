"""Tests of the probe of sources."""
