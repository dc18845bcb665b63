"""Tokens that callers show: what is in them, who has signed them, whether they are good."""
