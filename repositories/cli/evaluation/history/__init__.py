"""A collection from the history of a git repository, without human judgement."""
