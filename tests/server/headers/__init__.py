"""Headers of requests, whatever is in them."""
