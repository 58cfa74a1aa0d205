"""What the distilled model sees of a row: texts become rows of numbers."""
