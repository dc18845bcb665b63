"""Headers of requests with any content."""
