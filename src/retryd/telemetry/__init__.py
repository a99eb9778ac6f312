"""What a worker tells of itself: logs and metrics."""
