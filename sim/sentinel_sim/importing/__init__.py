"""From other people's network maps to topology files.

`sources` reads (GraphML, GML, topohub), `attributes` finds coordinates, rates and lengths,
`convert` decides what becomes of loops, twins, islands and gaps, `render` writes our format.
Only `sources` does I/O. What was changed or assumed is noted, and stands in the file made.
"""
