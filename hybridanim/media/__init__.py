"""Parts of io.py: pictures, decoding, encoding, sound, exact times."""
