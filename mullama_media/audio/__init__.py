"""Sound as arrays: reading files, resampling, cutting into windows."""
