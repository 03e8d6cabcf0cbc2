"""How the cost of every operation grows with the rows of a database."""
