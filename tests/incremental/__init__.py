"""Tests of responses in several payloads: ``@defer`` and ``@stream``."""
