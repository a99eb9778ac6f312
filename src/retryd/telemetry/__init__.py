"""What a worker tells of itself: logs, metrics, traces."""
