"""The public API for Python modules that extend the schema. All else of ``app`` is private."""
