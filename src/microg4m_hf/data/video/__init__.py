"""Open clips and decode frames: check the source, list the frames that are shown, let one decoder read them."""
