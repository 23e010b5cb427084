"""The companion programs of procmail and maildrop, as functions over a Host."""
