"""LMTP: the dialogue, the server and its workers."""
