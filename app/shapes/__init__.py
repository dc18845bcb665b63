"""What a service is like, as data: how it is asked, and how its answers are read."""
