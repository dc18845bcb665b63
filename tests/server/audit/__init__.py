"""The audit suite of GraphQL over HTTP."""
