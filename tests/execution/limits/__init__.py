"""Tests of ``app/execution/limits``."""
