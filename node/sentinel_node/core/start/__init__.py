"""How fast a flow may begin, and what is made ready before its first byte.

careful_resume  RFC 9959: from what an earlier flow found, carefully
buffer_plan     socket buffers, window clamp, pacing and start window from the predicted BDP
"""
