"""Tests of `user-gateway sources import`."""
