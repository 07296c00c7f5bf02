"""Pictures, videos and reports of what every stage saw."""
