"""What applications import: the registry of handlers and the capture of failures."""
