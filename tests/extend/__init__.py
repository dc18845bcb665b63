"""Python modules that extend the schema."""
