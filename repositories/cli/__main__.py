"""`python -m repositories.cli`."""

from repositories.cli import main

if __name__ == "__main__":
    main()
