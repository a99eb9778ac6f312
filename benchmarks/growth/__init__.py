"""What retryd costs beside ten thousand retries that wait, and beside ten million."""
