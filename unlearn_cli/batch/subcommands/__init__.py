"""The sub-commands of `unlearn-cli batch`: one module each, whose `run` is the whole sub-command."""
