"""Tests of schemas that a configuration file defines."""
