"""Several worker processes under one parent, which owns the HTTP socket and restarts them."""
