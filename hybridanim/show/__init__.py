"""What people look at: drawing parts, debug videos, the report."""
