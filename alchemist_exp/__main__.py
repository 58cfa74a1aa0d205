"""Runs the command line without its console script: python -m alchemist_exp."""

from alchemist_exp.cli.main import main

if __name__ == "__main__":
    main()
