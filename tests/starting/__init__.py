"""Tests of `user-gateway init`, which writes a first configuration file."""
