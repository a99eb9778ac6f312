"""What a process tells over HTTP: whether it lives, whether it works, its metrics."""
