"""Decoding clips: check the source, list the frames really shown, let one decoder give their pixels.

``source`` and ``mp4`` look at the file before any decoder does, ``index`` lists its frames, ``pyav``, ``decord`` and
``torchcodec`` decode, ``unsuited`` knows where the last two are wrong, ``choose`` picks, ``probe`` reads headers only.
"""
