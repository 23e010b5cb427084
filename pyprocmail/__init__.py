"""pyprocmail: mail delivery and filtering with procmail's and maildrop's languages."""

__version__ = "0.1.0"
