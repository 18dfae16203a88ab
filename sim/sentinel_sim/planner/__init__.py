"""Where relays should stand, and what they gain: formulas, search, and nothing else (pure).

`response` predicts one connection, `network` the connections a network offers, `placement`
chooses relays, `spacing` shows what changes with distance, `forecast` puts it together.
`segmented` says what the packet engine has to simulate to check a placement.
"""
