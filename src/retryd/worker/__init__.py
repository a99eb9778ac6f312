"""The worker: claims, runs and settles retries, and looks after leases, ages and partitions."""
