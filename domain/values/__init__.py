"""Value objects and the rules that they follow. No module in this package imports SQLAlchemy."""
