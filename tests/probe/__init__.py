"""Tests of trying the sources by hand."""
