"""Mail as bytes."""
