"""The verdict process: from what the vantage points say to one state for each line, and to the months' accounts."""
