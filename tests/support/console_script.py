"""Does what the console script `alchemist` does, for `run_forked`."""

from alchemist_exp.cli.main import main

if __name__ == "__main__":
    main()
