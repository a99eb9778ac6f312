"""The peers' harness: retryd, the floor and other queues, side by side in one run."""
