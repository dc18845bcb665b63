"""Tests of ``app/graphql``."""
