"""The public contract: the schema, what its fields read, and running operations against it."""
