"""The user gateway: one GraphQL endpoint over three REST sources of user data."""

__version__ = "0.1.0"
