"""The gateway: takes mail from one mail server, runs the rules, and passes the mail on to the next server."""
