"""Tests of the shapes of services."""
