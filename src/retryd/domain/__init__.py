"""What is true without a database: pure values and functions, without I/O, clock or randomness."""
