"""Milters: filters that a mail server consults while it receives a mail."""
