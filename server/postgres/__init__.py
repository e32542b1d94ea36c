"""The embedded Postgres: the default for who names no `DATABASE_URL`."""
