"""What a face is: cascade, landmarks and their aligner, anchors, head box and head pose."""
