"""Tests of the demo's services, data, faults and runner."""
