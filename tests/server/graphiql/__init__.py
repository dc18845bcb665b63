"""Tests of the GraphiQL page."""
