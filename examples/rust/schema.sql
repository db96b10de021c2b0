-- psql "$DATABASE_URL" -f examples/rust/schema.sql
CREATE TABLE IF NOT EXISTS entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    message text NOT NULL CHECK (length(message) BETWEEN 1 AND 1000),
    signed timestamptz NOT NULL DEFAULT now(),
    edited timestamptz
);
