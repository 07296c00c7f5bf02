"""Stage 5 and the written frame: warp, learned renderer, paste-back, output frame."""
