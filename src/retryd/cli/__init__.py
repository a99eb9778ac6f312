"""The command line: what a person types, onto compose and the store; prints tables or JSON."""
