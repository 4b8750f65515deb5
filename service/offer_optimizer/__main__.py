"""`python -m offer_optimizer` is the `offer-optimizer` command."""

from offer_optimizer.cli.main import main

if __name__ == "__main__":
    main()
