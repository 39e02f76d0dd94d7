"""Publish the dataset as a Hub repository that loads without this library."""
