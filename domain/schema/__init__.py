"""SQLAlchemy for entities: their base class, column types and constraints."""
