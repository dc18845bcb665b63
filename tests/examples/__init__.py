"""Tests of the examples of docs/sources/: the configuration of each page, run with its service."""
