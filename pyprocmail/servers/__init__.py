"""Servers: LMTP and milter, and what both need."""
