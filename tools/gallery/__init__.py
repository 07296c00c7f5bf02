"""docs/results/gallery.md: sources (drawn portraits, styles), drivers, rows and their page.

Everything is made here or is the astronaut and the photographer of scikit-image, which anybody may
publish. ``python -m tools.make_gallery`` makes the page.
"""
