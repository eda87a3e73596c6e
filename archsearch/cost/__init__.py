"""What a training costs in seconds, predicted from a design's plan by a model of the machine's steps."""
