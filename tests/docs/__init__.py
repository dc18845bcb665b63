"""Tests of the documentation: its links, its navigation, and its blocks of code."""
