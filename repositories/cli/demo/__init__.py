"""The demo: a linter reviews a package, and the domain's ports store and search the results."""
