"""Tools that measure a person, a camera or a clip and save a profile."""
