"""`python -m unlearn_cli`: the same program as `unlearn-cli`, and what torchrun starts."""

from unlearn_cli.cli.app import main

if __name__ == "__main__":
    main()
