"""The gateway behind real federation routers."""
