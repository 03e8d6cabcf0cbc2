"""The tables of entities: their base class, column types and constraints."""
