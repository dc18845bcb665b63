"""From running services to a first configuration file."""
