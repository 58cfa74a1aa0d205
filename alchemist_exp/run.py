"""The command `python -m alchemist_exp.run [overrides]`, which is `alchemist run [overrides]`.

The package's function `alchemist_exp.run` has this module's name; import nothing from here.
"""

if __name__ == "__main__":
    from alchemist_exp.core.exit_codes import clean_exit

    with clean_exit():  # Ctrl-C during the imports
        from alchemist_exp.cli.run import main

        main()
