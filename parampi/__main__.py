"""`python -m parampi`, the same as the console script."""

from parampi.cli import main

if __name__ == "__main__":
    main()
