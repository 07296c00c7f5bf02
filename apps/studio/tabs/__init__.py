"""The tabs of the studio's page: ``TITLE``, and ``build(context)``, called inside of gr.Blocks."""
