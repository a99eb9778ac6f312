"""One program per queue, all with the same verbs; each runs in the environment of its queue."""
