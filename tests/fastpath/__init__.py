"""Tests of what replaces parts of the reference path."""
