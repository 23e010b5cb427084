"""The companions of procmail, as functions over a Host."""
