"""Stage 2: where head, features, body and background of the driving video are."""
