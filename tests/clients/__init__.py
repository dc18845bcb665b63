"""Tests of the gateway with real clients of frontend engineers."""
