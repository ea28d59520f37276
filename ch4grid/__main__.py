"""`python -m ch4grid`: the command line without its script."""

from ch4grid.cli import main

if __name__ == "__main__":
    main()
