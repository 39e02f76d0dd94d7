"""From films to clips: read any film, cut it, find the shots inside a clip."""
