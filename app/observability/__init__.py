"""What operators see of the gateway. So far: the log."""
