"""`report.html`: one self-contained page about one result.

`figures` and `curves` build plotly.js figures as plain data, `tables` the rows, `world` the map;
`page` puts them into the template; `writing` reads a result directory and writes the file. Colours
are names (`@split`) that the page's script replaces by those of the light or the dark scheme.
"""
