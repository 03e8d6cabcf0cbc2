"""An application that adds its own tables to Recollect: labels and searchable notes."""
