"""``python -m bequest`` is the command line."""

from bequest.cli.main import main

if __name__ == "__main__":
    main()
