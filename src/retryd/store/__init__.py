"""PostgreSQL: the pool, one method per SQL function, the reads for people, the schema."""
