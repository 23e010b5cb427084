"""The gateway: takes mail from one mail server, asks rules, and passes it on to the next."""
