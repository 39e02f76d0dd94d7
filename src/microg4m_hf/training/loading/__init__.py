"""Windows of frames around key frames: read, turned, cropped, cached and batched."""
