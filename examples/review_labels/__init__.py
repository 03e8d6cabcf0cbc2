"""An application that adds two tables of its own to Recollect: labels, and notes that it searches."""
