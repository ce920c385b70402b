"""Deployment: replica sets, one for each template, and the way from the old ones to the new."""
