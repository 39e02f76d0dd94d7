"""The released annotation files: find them, read them strictly, report every fault with file and line."""
