"""Tests of answers that come in several payloads: ``@defer`` and ``@stream``."""
