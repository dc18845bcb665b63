"""Several gateways behind a proxy with one store: load, while all of it breaks and heals."""
