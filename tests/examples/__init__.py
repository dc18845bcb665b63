"""The worked examples of docs/sources/: each page's configuration, run against its service."""
