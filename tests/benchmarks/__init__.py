"""Tests of the benchmarks: of what they compute, not of what they measure."""
