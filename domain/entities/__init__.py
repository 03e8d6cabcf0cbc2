"""The entities, one context a module: knowledge, reviews, learning, runs, authors and so on."""
