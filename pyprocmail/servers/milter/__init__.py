"""A milter: what a mail server asks of a filter while a mail comes in."""
