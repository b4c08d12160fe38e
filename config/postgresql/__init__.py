"""Django's backend for PostgreSQL, which counts, and notices without a question that PostgreSQL has hung up."""
