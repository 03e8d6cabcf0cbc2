"""PostgreSQL: settings, connections, transactions, and the translation of its errors."""
