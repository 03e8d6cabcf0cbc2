"""The evaluation: search quality and latency of a database on a collection with judgements."""
