"""``python -m polyfuse``: the command line, where its script is not on the path."""

from polyfuse.cli import main

if __name__ == "__main__":
    main()
