"""What keeps a failing source from harming the rest. So far: the time it goes by."""
