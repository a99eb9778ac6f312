"""`retryd demo`: a shop whose partners fail, a worker that dies, and how every failure ends."""
