"""Where failures come from by themselves: one module per source."""
