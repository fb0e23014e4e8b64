"""`python -m raygrad`, and `torchrun -m raygrad`: the command line."""

from raygrad.cli import main

if __name__ == "__main__":
    main()
