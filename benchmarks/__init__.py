"""Speed and accuracy, measured side by side with a named peer in one run (``make bench``)."""
