"""What neighbours say to each other, and who is believed.

messages    what can be said, as frozen values that check themselves
refusals    why something is not believed; counted by reason
codec       messages to protobuf bytes (control.proto) and back
sessions    keys per session, tags, and the window against replays
endpoint    one neighbour's stream: bytes in, checked, handed to the core they concern
"""
